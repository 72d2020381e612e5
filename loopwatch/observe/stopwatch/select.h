/* What stands in the `select` of a selector. */

#ifndef LOOPWATCH_SELECT_H
#define LOOPWATCH_SELECT_H

#include "plain.h"

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *dict;
    PyObject *weak;
    Module *module;
    PyObject *owner;
    PyObject *state; /* NULL once it was let go */
    PyObject *inner;
    PyObject *reference; /* the same in Python, for a stopwatch that is not plain */
    PyObject *alarm;
    PyObject *clock;
    PyTypeObject *selector_type; /* NULL: always ask `inner` */
    PyTypeObject *epoll_type;
    Plain plain;
    double quick;
} Select;

/* What it does when it is called; see poll.c. */
INTERNAL PyObject *select_vectorcall(PyObject *object, PyObject *const *args, size_t flags, PyObject *names);

INTERNAL extern PyType_Spec select_spec;
INTERNAL PyObject *make_select(PyObject *owner, PyObject *args, PyObject *kwargs);

#endif
