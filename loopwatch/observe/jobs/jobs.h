/* Jobs in C: what `jobs.py` does for a job of a plain thread pool, from its submit to its end.
 *
 * All policy stays in Python. What these files know: the fields of a job, of its pool and of its lane; two clocks; how
 * the frames that submit become the key of a lane. What they find nowhere (a lane that is new, an end without a
 * beginning, an error) they hand to the methods in Python.
 *
 *     entry.c   makes the job of a function that is submitted; lane_of.c: finds its lane, by who submits it
 *     begin.c   a worker takes the job; finish.c: it has done with it; worker.c: what is known of this thread's worker
 *     job.c, pool.c, lane.c   their fields; values.c: how Python reads and writes them
 *
 * A job that was brief from end to end, of which nothing is to be told, is added to the numbers of its lane when
 * another of that lane waits to be counted already: so it need not be kept, handed over, and counted by itself.
 *
 * Threads: a job is written by whoever submits it, then by its worker, and read by others; see shared.h.
 */

#ifndef LOOPWATCH_JOBS_H
#define LOOPWATCH_JOBS_H

#include "shared.h"

typedef struct {
    PyTypeObject *job_type;
    PyTypeObject *lane_type;
    PyTypeObject *pool_type;
    PyTypeObject *entry_type;
    PyTypeObject *partial_type;
    PyObject *clock;
    PyObject *thread_cpu;
    PyObject *here;
    PyObject *of_threads;
    PyObject *getframe;
    PyObject *running_loop;
    PyObject *one;
    PyObject *worker_name;
    PyObject *job_name;
    PyObject *append_name;
    PyObject *added_name;
    PyObject *exception_name;
    PyObject *state_name;
    PyObject *callbacks_name;
    PyObject *unbegun_name;
    PyObject *fault_name;
    PyObject *meet_name;
    PyObject *func_name;
    PyObject *args_name;
    PyObject *lasti_name;
    PyObject *for_loop_name;
    PyObject *completed;
    PyObject *failed;
    PyObject *abandoned;
} Module;

typedef struct {
    PyObject_HEAD
    PyObject *waiting;
    PyObject *running;
    PyObject *lanes;
    PyObject *last_key;
    PyObject *last_lane;
    Seconds last_end;
    char inside;
    char open;
} Pool;

/* What the brief jobs of a lane add up to; read and written under the lock of the lane. */
typedef struct {
    double wait;
    double run;
    double cpu;
    double cpu_known;
    int64_t jobs;
    int64_t loop_jobs;
    int64_t failed;
} Sums;

typedef struct {
    PyObject_HEAD
    Seconds brief;
    Sums sums;
    char quick;
    char open; /* under the lock, too */
} Lane;

typedef struct {
    PyObject_HEAD
    Module *module; /* which its type keeps alive */
    PyObject *pool;
    PyObject *function;
    PyObject *lane;
    PyObject *finished;
    PyObject *task;
    PyObject *worker;
    PyObject *glances;
    PyObject *congested;
    PyObject *outcome;
    PyObject *held_by;
    PyObject *span;
    Seconds submitted;
    Seconds started;
    Seconds ended;
    Seconds cpu;
    Seconds glanced;
    Seconds after;
    Seconds busy;
    uint64_t submitter;
    char for_loop;
    char abandoned;
    char queued;
    char asked;
} Job;

INTERNAL extern PyType_Spec pool_spec, lane_spec, job_spec, entry_spec;

static inline PyObject *
kept(PyObject *object)
{
    Py_INCREF(object);
    return object;
}

/* A flag that other threads read, as they read numbers (see shared.h). */
#ifdef Py_GIL_DISABLED
#define LOAD_SIGN(place) (char)_Py_atomic_load_uint8_relaxed((const uint8_t *)(place))
#define STORE_SIGN(place, sign) _Py_atomic_store_uint8_relaxed((uint8_t *)(place), (uint8_t)(sign))
#else
#define LOAD_SIGN(place) (*(place))
#define STORE_SIGN(place, sign) (*(place) = (sign))
#endif

/* --- jobs: job.c --- */

/* One that has neither begun nor ended. */
INTERNAL Job *new_fields(PyTypeObject *type, Module *module);

/* An error of ours is noted (0), one of the application's goes on (-1): which it is, is judged in Python. */
INTERNAL int settle_error(PyObject *self, Module *module);

INTERNAL PyObject *job_begin(Job *self, PyObject *nothing);
INTERNAL PyObject *job_call(Job *self, PyObject *args, PyObject *kwargs);
INTERNAL PyObject *job_finish(Job *self, PyObject *future);
INTERNAL PyObject *job_attach(Job *self, PyObject *future);

/* The pool and the lane of a job, which have the fields that are known here; -1 with an exception set. */
static inline int
places_of(Job *self, Module *module, Pool **pool, Lane **lane)
{
    if (self->pool == NULL || self->lane == NULL || !PyObject_TypeCheck(self->pool, module->pool_type)
        || !PyObject_TypeCheck(self->lane, module->lane_type)) {
        PyErr_SetString(PyExc_TypeError, "this job has no pool or no lane");
        return -1;
    }
    *pool = (Pool *)self->pool;
    *lane = (Lane *)self->lane;
    return 0;
}

/* --- pools: pool.c --- */

/* The lane of the last job of a pool, if that had the very same key: a new reference. */
INTERNAL PyObject *same_as_last(Pool *pool, const void *words, size_t size);

INTERNAL void keep_as_last(Pool *pool, PyObject *key, PyObject *lane);

/* --- lanes: lane.c --- */

INTERNAL void set_open(Lane *self, char open);

/* Whether a job that has just ended need not be counted by itself; then it is counted here. */
INTERNAL int add_to_lane(Job *job, Lane *lane, double now, int failed);

#endif
