/* Whether the fields of a stopwatch are where we look for them. */

#ifndef LOOPWATCH_PLAIN_H
#define LOOPWATCH_PLAIN_H

#include "fields.h"
#include "module.h"

/* The first few classes of stopwatches that were met and leave the fields alone: a subclass may put properties in their
 * place, and a stopwatch may change its class. Of any other class that is found out anew each time. */
#define MOST_CLASSES 4

typedef struct {
    PyTypeObject *kind[MOST_CLASSES];
} Plain;

/* Of a class that was not met before, or is one too many: as `is_plain`. */
INTERNAL int judge(PyObject *owner, Plain *plain, PyTypeObject *kind, Module *module);

/* Whether the fields of `object` may be read and written here; below zero: with an exception that goes on. */
static inline int
is_plain(PyObject *owner, Plain *plain, PyObject *object, Module *module)
{
    PyTypeObject *kind = Py_TYPE(object);
    for (int i = 0; i < MOST_CLASSES; i++) {
        PyTypeObject *known = LOAD_POINTER(&plain->kind[i]);
        if (known == kind) {
            return 1;
        }
        if (known == NULL) {
            break;
        }
    }
    return judge(owner, plain, kind, module);
}

static inline int
plain_traverse(Plain *plain, visitproc visit, void *arg)
{
    for (int i = 0; i < MOST_CLASSES; i++) {
        Py_VISIT(plain->kind[i]);
    }
    return 0;
}

static inline void
plain_clear(Plain *plain)
{
    for (int i = 0; i < MOST_CLASSES; i++) {
        Py_CLEAR(plain->kind[i]);
    }
}

#endif
