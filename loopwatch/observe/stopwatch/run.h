/* What stands in `asyncio.Handle._run`. */

#ifndef LOOPWATCH_RUN_H
#define LOOPWATCH_RUN_H

#include "handles.h"
#include "plain.h"

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *dict;
    PyObject *weak;
    Module *module;
    PyObject *owner;     /* the module itself */
    PyObject *previous;  /* what is timed */
    PyObject *reference; /* times the same, in Python, for stopwatches that are not plain */
    PyObject *settle;    /* called as settle(stopwatch, handle, now) where a step was slow */
    PyObject *clock;     /* NULL: our own */
    Plain plain;
    double quick;
    int watching;
    int direct; /* whether to call the callback here */
    Slots slots;
} Run;

/* What it does when it is called; see step.c. */
INTERNAL PyObject *run_vectorcall(PyObject *object, PyObject *const *args, size_t flags, PyObject *names);

INTERNAL extern PyType_Spec run_spec;
INTERNAL PyObject *make_run(PyObject *owner, PyObject *args, PyObject *kwargs);

#endif
