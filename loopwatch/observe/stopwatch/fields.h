/* The fields of a stopwatch. */

#ifndef LOOPWATCH_FIELDS_H
#define LOOPWATCH_FIELDS_H

#include "shared.h"

typedef struct {
    PyObject_HEAD
    Seconds mark;
    Seconds turn;
    Seconds idle;
    Seconds slow_from;
    int64_t quick;
    int64_t quick_before;
    int64_t quick_turns;
    int64_t brief;
    int64_t brief_turns;
    PyObject *handle;
    PyObject *step_counts;
    PyObject *turn_counts;
} Fields;

INTERNAL extern PyGetSetDef fields_getset[];
INTERNAL extern PyType_Spec fields_spec;

#endif
