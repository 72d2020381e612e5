/* What a callback raised, raised once more in the genuine function. */

#ifndef LOOPWATCH_REPLAY_H
#define LOOPWATCH_REPLAY_H

#include "run.h"

/* The callback has raised: let the genuine function find that. Takes over the reference to `context`. */
INTERNAL PyObject *raise_in_previous(Run *self, PyObject *handle, PyObject *context);

INTERNAL extern PyType_Spec replay_spec;

#endif
