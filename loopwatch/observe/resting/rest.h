/* The sampler's sleep, in C: without the interpreter lock, for as long as the loops that cannot wake it wait on.
 *
 * A loop of uvloop wakes nobody when its poll ends, so its counters have to be read once a threshold. In Python each
 * such glance wakes the interpreter, which takes longer than all that is asked. Here (bell.c) a thread sleeps, reads one
 * number of each loop, and sleeps again; it comes back when it is woken, when a loop has worked, or at a given time.
 *
 * What is read is memory of libuv's, which is gone once its loop is closed or freed. So a `Gauge` (gauge.c), which is
 * ours, says where it is, and holds the loop: set for one sleep, and taken back when that is over, when the loop's run
 * ends and before it is closed. That is done under the lock of the gauge, which is also held while libuv is asked; which
 * takes a moment and needs no interpreter, so nobody waits long for it.
 *
 * Where nobody may tell that the loop is closed, the interpreter is taken for the moment of reading, and the loop asked:
 * uvloop notes that it is closed, and then takes apart what libuv has, without giving it away in between.
 *
 * All policy stays in Python.
 */

#ifndef LOOPWATCH_REST_H
#define LOOPWATCH_REST_H

#include "shared.h"

#if defined(__unix__) || defined(__APPLE__)
#define HAS_GAUGES 1
#else
#define HAS_GAUGES 0
#endif

typedef struct {
    PyTypeObject *bell_type;
    PyTypeObject *gauge_type;
} Module;

typedef uint64_t (*Counter)(const void *);

typedef struct {
    PyObject_HEAD
    PyThread_type_lock lock; /* guards all below */
    Counter count;           /* libuv's: nanoseconds that a loop has waited so far; may be called from any thread */
    const void *loop;        /* libuv's; NULL: not to be asked */
    PyObject *owner;         /* the loop itself, which so is not freed; touched with the interpreter only */
    PyObject *is_closed;     /* its method, asked before each reading; NULL: its close is told. As the owner */
    double at;               /* what the counter has shown, and when, in seconds */
    double idle;
    double most;             /* of so many seconds that it has not waited nothing is made */
} Gauge;

INTERNAL extern PyType_Spec bell_spec, gauge_spec;

/* Whether the loop has waited ever since it was last looked at, as far as is known at `now`. Needs no interpreter, but
 * where the loop has to be asked whether it is closed: then the interpreter lock is held, and `is_open` said so just now. */
INTERNAL int waits_on(Gauge *gauge, double now, int asked);

/* Whether the loop may be read for as long as the interpreter is held, which it has to be. */
INTERNAL int is_open(Gauge *gauge);

INTERNAL void take_back(Gauge *gauge);

#endif
