/* Exceptions that come in between: ours, those of the application, and those that are on their way already. */

#ifndef LOOPWATCH_EXCEPTIONS_H
#define LOOPWATCH_EXCEPTIONS_H

#include "module.h"

static inline void
drop(PyObject *kind, PyObject *error, PyObject *trace)
{
    Py_XDECREF(kind);
    Py_XDECREF(error);
    Py_XDECREF(trace);
}

/* The application's objects have raised something when we asked them. Whether it goes on into the application, as
 * guard.py judges; if not, it is cleared. */
INTERNAL int goes_on(Module *module);

/* An exception on its way out. What is done meanwhile is done as in a `finally`: it is the one being handled, and the
 * context of what is raised there. */
typedef struct {
    PyObject *kind, *error, *trace;
    PyObject *outer_kind, *outer_error, *outer_trace;
} Leaving;

INTERNAL void begin_finally(Leaving *leaving);

/* `failed`: another exception is set, which takes the place of the first. */
INTERNAL void end_finally(Leaving *leaving, int failed);

#endif
