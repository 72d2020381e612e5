/* Times the callbacks that are given to a loop of uvloop, in C: what `_calls_py.py` does.
 *
 * uvloop's handles are C and call what they were given. So a method by which callbacks are scheduled is replaced by a
 * `Schedule` (schedule.c), which hands on a `Call` (call.c) in place of the callback: a callable that reads the clock
 * before and after, and in all else answers as the callback would. What is counted, and what runs right now, stands in
 * the `Calls` of a loop (calls.c).
 *
 * All policy stays in Python: `settle` is called with what was not quick.
 *
 * A `Calls` is written by its loop's thread and read by others, but for `waiting`, which all may change. Without the
 * interpreter lock calls are not kept for later use.
 */

#ifndef LOOPWATCH_CALLS_H
#define LOOPWATCH_CALLS_H

#include "shared.h"

#ifdef Py_GIL_DISABLED
#define ADD_COUNT(place, more) (void)_Py_atomic_add_int64(place, more)
#define TAKE_FLAG(place) _Py_atomic_exchange_int(place, 0)
#else
#define ADD_COUNT(place, more) (*(place) += (more))
#endif

#define MOST_KEPT 256

typedef struct {
    PyTypeObject *calls_type;
    PyTypeObject *call_type;
    PyTypeObject *schedule_type;
#ifndef Py_GIL_DISABLED
    int kept;
    PyObject *free[MOST_KEPT]; /* calls that have ended, for the next ones */
#endif
} Module;

typedef struct {
    PyObject_HEAD
    void *loop; /* its address, for as long as it lives and is watched */
    Seconds began;
    Seconds seconds;
    int64_t quick;
    int64_t waiting;
    int64_t behind;
    PyObject *running;
    PyObject *settle;
    PyObject *clock; /* NULL: our own */
    double bound;
} Calls;

static inline PyObject *
kept(PyObject *object)
{
    Py_INCREF(object);
    return object;
}

INTERNAL extern PyType_Spec calls_spec, call_spec, schedule_spec;

/* What stands for a callback; `waits`: it is ready to run at once. */
INTERNAL PyObject *new_call(Module *module, Calls *calls, PyObject *callback, int waits);

INTERNAL PyObject *make_schedule(PyObject *owner, PyObject *args, PyObject *kwargs);

#endif
