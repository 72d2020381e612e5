/* What is known of the worker that runs in this thread. */

#ifndef LOOPWATCH_WORKER_H
#define LOOPWATCH_WORKER_H

#include "jobs.h"

/* What `here.worker` is in this thread: a new reference. */
INTERNAL PyObject *worker_here(Module *module);

/* The job that this thread's worker runs, None where it is none: a new reference. */
INTERNAL PyObject *outer_job(Module *module);

INTERNAL PyObject *note_worker(PyObject *owner, PyObject *nothing);

#endif
