/* How Python reads and writes the fields of pools, lanes and jobs. */

#ifndef LOOPWATCH_VALUES_H
#define LOOPWATCH_VALUES_H

#include "interpreter.h"

#define VALUE(kind)                                                                                                    \
    INTERNAL PyObject *get_##kind(PyObject *self, void *closure);                                                      \
    INTERNAL int set_##kind(PyObject *self, PyObject *value, void *closure)

VALUE(object);
VALUE(dict);
VALUE(seconds);
VALUE(known);   /* seconds, or None, which is NAN here */
VALUE(outcome); /* a word, at first the empty one */
VALUE(shares);  /* a tuple, at first the empty one */
VALUE(ident);
VALUE(flag);

#define FIELD(owner, name, kind) {#name, get_##kind, set_##kind, NULL, (void *)(intptr_t)offsetof(owner, name)}

#endif
