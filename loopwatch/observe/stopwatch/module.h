/* The stopwatch in C: what `_steps_py.py` does for steps and turns that are quick, or brief.
 *
 * All policy stays in Python. What these files know: the slots of asyncio's handles (from their member descriptors), one
 * clock, the bounds below which a step or a turn is only counted, and whom to call above them.
 *
 *     run.c     a replacement for `Handle._run`; step.c: what it does; replay.c: what it does where a callback raises
 *     select.c  a replacement for a selector's `select`; poll.c: what it does; answered.c: what it does with an answer
 *     fields.c  the fields of a stopwatch; plain.c: whether they are where we look for them
 *
 * This is what all of them share: the types, and the names that are asked for.
 */

#ifndef LOOPWATCH_MODULE_H
#define LOOPWATCH_MODULE_H

#include "interpreter.h"

typedef struct {
    PyTypeObject *fields_type;
    PyTypeObject *run_type;
    PyTypeObject *select_type;
    PyTypeObject *replay_type;
    PyTypeObject *answered_type;
    PyObject *selector_name; /* "_selector" */
    PyObject *keys_name;     /* "_fd_to_key" */
    PyObject *poll_name;
    PyObject *loop_name;      /* "_loop" */
    PyObject *stopwatch_name; /* "_loopwatch" */
    PyObject *asleep_name;
    PyObject *wake_name;
    PyObject *slow_turn_name;
    PyObject *counted_name;
    PyObject *let_go_name;
    PyObject *zero;
    PyObject *theirs; /* see guard.py */
} Module;

static inline PyObject *
kept(PyObject *object)
{
    Py_INCREF(object);
    return object;
}

#endif
