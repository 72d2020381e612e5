/* Where asyncio's handles keep what a step needs. */

#ifndef LOOPWATCH_HANDLES_H
#define LOOPWATCH_HANDLES_H

#include "interpreter.h"

#define MOST_TYPES 4

typedef struct {
    int types;
    PyTypeObject *type[MOST_TYPES]; /* of handles, with their slots where `Handle` has them */
    Py_ssize_t loop, context, callback, args;
} Slots;

#define SLOT(slots, handle, name) ((PyObject **)((char *)(handle) + (slots)->name))

static inline int
are_known(Slots *slots, PyObject *handle)
{
    PyTypeObject *type = Py_TYPE(handle);
    for (int i = 0; i < slots->types; i++) {
        if (type == slots->type[i]) {
            return 1;
        }
    }
    return 0;
}

/* `descriptors`: those of _loop, _context, _callback and _args; `types`: Handle, and those that keep its slots.
 * -1 with an exception where they are something else. */
INTERNAL int know_slots(Slots *slots, PyObject *descriptors, PyObject *types);

#endif
