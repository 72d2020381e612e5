/* What is called with each function that is submitted. */

#ifndef LOOPWATCH_ENTRY_H
#define LOOPWATCH_ENTRY_H

#include "jobs.h"

#define ON_LOOP 48
#define ELSEWHERE 16
#define MOST_ENDS 16

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    Module *module;
    PyObject *owner; /* the module itself */
    PyTypeObject *kind;
    PyObject *finished;
    PyObject *current_task;
    PyObject *callee_key;
    int ends;
    uintptr_t end[MOST_ENDS];
} Entry;

/* The lane of a job: `most` frames are looked at, on a loop (`to_step`) up to where its step begins. */
INTERNAL PyObject *lane_of(Entry *self, Module *module, Pool *pool, PyObject *function, int most, int to_step);

INTERNAL PyObject *make_entry(PyObject *owner, PyObject *args);

#endif
