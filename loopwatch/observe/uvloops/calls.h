/* Times the callbacks that are given to a loop of uvloop, in C: what `_calls_py.py` does.
 *
 * uvloop's handles are C and call what they were given. So a method by which callbacks are scheduled is replaced by a
 * `Schedule` (schedule.c), which hands on a `Call` (call.c) in place of the callback: a callable that reads the clock
 * before and after, and in all else answers as the callback would. What is counted, and what runs right now, stands in
 * the `Calls` of a loop (calls.c).
 *
 * All policy stays in Python: `settle` is called with what was neither quick nor brief.
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
    PyObject *free[MOST_KEPT]; /* calls that have ended, for the next ones; each holds its type */
#endif
} Module;

typedef struct {
    PyObject_HEAD
    void *loop; /* its address, for as long as it lives and is watched */
    Seconds began;
    Seconds seconds;
    int64_t quick;
    int64_t brief;
    int64_t waiting;
    int64_t behind;
    PyObject *running;
    PyObject *settle;
    PyObject *clock; /* NULL: our own */
    double bound;
    double slow_from;
} Calls;

static inline PyObject *
kept(PyObject *object)
{
    Py_INCREF(object);
    return object;
}

/* What an object is called by, if it has that. */
static inline vectorcallfunc
way_into(PyObject *callable)
{
    PyTypeObject *type = Py_TYPE(callable);
    if (!PyType_HasFeature(type, Py_TPFLAGS_HAVE_VECTORCALL)) {
        return NULL;
    }
    return *(vectorcallfunc *)((char *)callable + type->tp_vectorcall_offset);
}

/* As PyObject_Vectorcall, which checks the answer, too: whoever has called us does that, or does it not for anybody. */
static inline PyObject *
call_directly(PyObject *callable, PyObject *const *args, size_t flags, PyObject *names)
{
    vectorcallfunc way = way_into(callable);
    return way != NULL ? way(callable, args, flags, names) : PyObject_Vectorcall(callable, args, flags, names);
}

INTERNAL extern PyType_Spec calls_spec, call_spec, schedule_spec;

/* What stands for a callback; `waits`: it is ready to run at once. The reference to `calls` is taken over. */
INTERNAL PyObject *new_call(Module *module, Calls *calls, PyObject *callback, int waits);

INTERNAL PyObject *make_schedule(PyObject *owner, PyObject *args, PyObject *kwargs);

#endif
