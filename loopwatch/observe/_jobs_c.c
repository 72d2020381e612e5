/* Jobs in C: what `jobs.py` does for a job of a plain thread pool, from its submit to its end.
 *
 * All policy stays in Python. What this file knows: the fields of a job, of its pool and of its lane; two clocks; how
 * the frames that submit become the key of a lane. What it finds nowhere (a lane that is new, an end without a
 * beginning, an error) it hands to the methods in Python.
 *
 * A job that was brief from end to end, of which nothing is to be told, is added to the numbers of its lane when
 * another of that lane waits to be counted already: so it need not be kept, handed over, and counted by itself.
 *
 * Threads: a job is written by whoever submits it, then by its worker, and read by others. With the interpreter lock
 * that needs no care; without it numbers are relaxed atomics, and objects are exchanged in critical sections.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <frameobject.h>
#include <structmember.h>

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __linux__
#include <time.h>
#endif

#if PY_VERSION_HEX < 0x030D0000
#define Py_BEGIN_CRITICAL_SECTION(object) { (void)(object);
#define Py_END_CRITICAL_SECTION() }
#endif

/* --- numbers and objects that other threads read ----------------------------------------------- */

typedef union {
    double number;
    uint64_t bits;
} Number;

static inline double
get_number(const Number *place)
{
#ifdef Py_GIL_DISABLED
    Number copy;
    copy.bits = _Py_atomic_load_uint64_relaxed(&place->bits);
    return copy.number;
#else
    return place->number;
#endif
}

static inline void
set_number(Number *place, double number)
{
#ifdef Py_GIL_DISABLED
    Number copy;
    copy.number = number;
    _Py_atomic_store_uint64_relaxed(&place->bits, copy.bits);
#else
    place->number = number;
#endif
}

/* A new reference to what stands in a place of `owner`, None where nothing does. */
static inline PyObject *
held_in(PyObject *owner, PyObject **place)
{
    PyObject *found;
    Py_BEGIN_CRITICAL_SECTION(owner);
    found = *place != NULL ? *place : Py_None;
    Py_INCREF(found);
    Py_END_CRITICAL_SECTION();
    return found;
}

/* Put `object` (the reference is taken over) into a place of `owner`; returns what stood there, or NULL. */
static inline PyObject *
exchange(PyObject *owner, PyObject **place, PyObject *object)
{
    PyObject *before;
    Py_BEGIN_CRITICAL_SECTION(owner);
    before = *place;
    *place = object;
    Py_END_CRITICAL_SECTION();
    return before;
}

/* --- what the module keeps --------------------------------------------------------------------- */

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

/* The module's state: it serves one interpreter only. */
static Module *the_module;

/* --- clocks ------------------------------------------------------------------------------------ */

static double
call_clock(PyObject *clock)
{
    PyObject *answer = PyObject_CallNoArgs(clock);
    if (answer == NULL) {
        return NAN;
    }
    double now = answer == Py_None ? NAN : PyFloat_AsDouble(answer);
    Py_DECREF(answer);
    return now == -1.0 && PyErr_Occurred() ? NAN : now;
}

#ifdef __linux__
static inline double
read_own(clockid_t which)
{
    /* As the module `time` computes it: whole nanoseconds, divided once. */
    struct timespec now;
    clock_gettime(which, &now);
    return (double)((int64_t)now.tv_sec * 1000000000 + now.tv_nsec) / 1e9;
}
#define OWN_CLOCKS 1
#else
#define OWN_CLOCKS 0
#define read_own(which) NAN
#endif

/* The time by the clock that was given, or by our own. NAN where that fails, with an exception set. */
static inline double
read_clock(Module *module)
{
    return module->clock == NULL ? read_own(CLOCK_MONOTONIC) : call_clock(module->clock);
}

/* The CPU time of this thread; NAN where the platform does not tell, or with an exception set. */
static inline double
read_thread_cpu(Module *module)
{
    return module->thread_cpu == NULL ? read_own(CLOCK_THREAD_CPUTIME_ID) : call_clock(module->thread_cpu);
}

/* --- the fields of pools ----------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    PyObject *waiting;
    PyObject *running;
    PyObject *lanes;
    PyObject *last_key;
    PyObject *last_lane;
    Number last_end;
    char inside;
    char open;
} Pool;

#define PLACE(type, self, closure) ((type *)((char *)(self) + (Py_ssize_t)(intptr_t)(closure)))

static int
cannot_be_deleted(PyObject *value)
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "this field cannot be deleted");
        return 1;
    }
    return 0;
}

static PyObject *
get_object(PyObject *self, void *closure)
{
    return held_in(self, PLACE(PyObject *, self, closure));
}

static int
set_object(PyObject *self, PyObject *value, void *closure)
{
    if (cannot_be_deleted(value)) {
        return -1;
    }
    Py_INCREF(value);
    Py_XDECREF(exchange(self, PLACE(PyObject *, self, closure), value));
    return 0;
}

static int
set_dict(PyObject *self, PyObject *value, void *closure)
{
    if (value != NULL && !PyDict_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "a dictionary is needed");
        return -1;
    }
    return set_object(self, value, closure);
}
#define get_dict get_object

static PyObject *
get_seconds(PyObject *self, void *closure)
{
    return PyFloat_FromDouble(get_number(PLACE(Number, self, closure)));
}

static int
set_seconds(PyObject *self, PyObject *value, void *closure)
{
    if (cannot_be_deleted(value)) {
        return -1;
    }
    double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    set_number(PLACE(Number, self, closure), number);
    return 0;
}

/* Seconds, or None, which is NAN here. */
static PyObject *
get_known(PyObject *self, void *closure)
{
    double number = get_number(PLACE(Number, self, closure));
    if (isnan(number)) {
        Py_RETURN_NONE;
    }
    return PyFloat_FromDouble(number);
}

static int
set_known(PyObject *self, PyObject *value, void *closure)
{
    if (value == Py_None) {
        set_number(PLACE(Number, self, closure), NAN);
        return 0;
    }
    return set_seconds(self, value, closure);
}

static PyObject *
get_flag(PyObject *self, void *closure)
{
    return PyBool_FromLong(*PLACE(char, self, closure));
}

static int
set_flag(PyObject *self, PyObject *value, void *closure)
{
    if (cannot_be_deleted(value)) {
        return -1;
    }
    int flag = PyObject_IsTrue(value);
    if (flag < 0) {
        return -1;
    }
    *PLACE(char, self, closure) = (char)flag;
    return 0;
}

#define FIELD(owner, name, kind) {#name, get_##kind, set_##kind, NULL, (void *)(intptr_t)offsetof(owner, name)}

static PyObject *
new_pool(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    Pool *self = (Pool *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->waiting = PyDict_New();
        self->running = PyDict_New();
        self->lanes = PyDict_New();
        if (self->waiting == NULL || self->running == NULL || self->lanes == NULL) {
            Py_CLEAR(self);
        }
    }
    return (PyObject *)self;
}

static int
pool_traverse(Pool *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->waiting);
    Py_VISIT(self->running);
    Py_VISIT(self->lanes);
    Py_VISIT(self->last_lane);
    return 0;
}

static int
pool_clear(Pool *self)
{
    Py_CLEAR(self->waiting);
    Py_CLEAR(self->running);
    Py_CLEAR(self->lanes);
    Py_CLEAR(self->last_key);
    Py_CLEAR(self->last_lane);
    return 0;
}

static void
pool_dealloc(Pool *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)pool_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
pool_forget_last(Pool *self, PyObject *Py_UNUSED(nothing))
{
    Py_XDECREF(exchange((PyObject *)self, &self->last_key, NULL));
    Py_RETURN_NONE;
}

static PyMethodDef pool_methods[] = {
    {"forget_last", (PyCFunction)pool_forget_last, METH_NOARGS, "Look for the lane of the next job among all."},
    {NULL},
};

static PyGetSetDef pool_getset[] = {
    FIELD(Pool, waiting, dict), FIELD(Pool, running, dict), FIELD(Pool, lanes, dict), FIELD(Pool, last_end, seconds),
    FIELD(Pool, inside, flag),  FIELD(Pool, open, flag),    {NULL},
};

static PyType_Slot pool_slots[] = {
    {Py_tp_doc, "What a job reads and writes of its pool."},
    {Py_tp_new, new_pool},
    {Py_tp_dealloc, pool_dealloc},
    {Py_tp_traverse, pool_traverse},
    {Py_tp_clear, pool_clear},
    {Py_tp_methods, pool_methods},
    {Py_tp_getset, pool_getset},
    {0, NULL},
};

static PyType_Spec pool_spec = {
    .name = "loopwatch.observe._jobs_c.PoolFields",
    .basicsize = sizeof(Pool),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = pool_slots,
};

/* --- the fields of lanes ----------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    Number brief;
    Number wait;
    Number run;
    Number cpu;
    Number cpu_known;
    int64_t jobs;
    int64_t loop_jobs;
    int64_t failed;
    char quick;
    char open;
} Lane;

static PyObject *
new_lane(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return type->tp_alloc(type, 0);
}

static int
lane_traverse(Lane *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void
lane_dealloc(Lane *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static void
set_open(Lane *self, char open)
{
    Py_BEGIN_CRITICAL_SECTION(self);
    self->open = open;
    Py_END_CRITICAL_SECTION();
}

static PyObject *
lane_take(Lane *self, PyObject *Py_UNUSED(nothing))
{
    Lane taken;
    Py_BEGIN_CRITICAL_SECTION(self);
    taken = *self;
    self->open = 0;
    self->jobs = self->loop_jobs = self->failed = 0;
    self->wait.number = self->run.number = self->cpu.number = self->cpu_known.number = 0.0;
    Py_END_CRITICAL_SECTION();
    if (taken.jobs == 0) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(LLLdddd)", (long long)taken.jobs, (long long)taken.failed, (long long)taken.loop_jobs,
                         taken.wait.number, taken.run.number, taken.cpu.number, taken.cpu_known.number);
}

static PyMethodDef lane_methods[] = {
    {"take", (PyCFunction)lane_take, METH_NOARGS,
     "The numbers of its brief jobs, which are then forgotten: (jobs, failed, loop_jobs, wait, run, cpu, cpu_known)."},
    {NULL},
};

static PyGetSetDef lane_getset[] = {FIELD(Lane, quick, flag), FIELD(Lane, brief, seconds), {NULL}};

static PyType_Slot lane_slots[] = {
    {Py_tp_doc, "What a job reads of its lane, and where the brief ones are added up."},
    {Py_tp_new, new_lane},
    {Py_tp_dealloc, lane_dealloc},
    {Py_tp_traverse, lane_traverse},
    {Py_tp_methods, lane_methods},
    {Py_tp_getset, lane_getset},
    {0, NULL},
};

static PyType_Spec lane_spec = {
    .name = "loopwatch.observe._jobs_c.LaneFields",
    .basicsize = sizeof(Lane),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = lane_slots,
};

/* --- the fields of jobs ------------------------------------------------------------------------ */

typedef struct {
    PyObject_HEAD
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
    Number submitted;
    Number started;
    Number ended;
    Number cpu;
    Number glanced;
    Number after;
    Number busy;
    uint64_t submitter;
    char for_loop;
    char abandoned;
    char queued;
} Job;

static void
begin_fields(Job *self)
{
    self->started.number = self->ended.number = self->cpu.number = NAN;
}

static PyObject *
new_job(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    Job *self = (Job *)type->tp_alloc(type, 0);
    if (self != NULL) {
        begin_fields(self);
    }
    return (PyObject *)self;
}

static int
job_traverse(Job *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->pool);
    Py_VISIT(self->function);
    Py_VISIT(self->lane);
    Py_VISIT(self->finished);
    Py_VISIT(self->task);
    Py_VISIT(self->worker);
    Py_VISIT(self->glances);
    Py_VISIT(self->held_by);
    return 0;
}

static int
job_clear(Job *self)
{
    Py_CLEAR(self->pool);
    Py_CLEAR(self->function);
    Py_CLEAR(self->lane);
    Py_CLEAR(self->finished);
    Py_CLEAR(self->task);
    Py_CLEAR(self->worker);
    Py_CLEAR(self->glances);
    Py_CLEAR(self->congested);
    Py_CLEAR(self->outcome);
    Py_CLEAR(self->held_by);
    return 0;
}

static void
job_dealloc(Job *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)job_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
get_outcome(PyObject *self, void *closure)
{
    PyObject *found = held_in(self, PLACE(PyObject *, self, closure));
    if (found == Py_None) {
        Py_DECREF(found);
        return PyUnicode_FromString("");
    }
    return found;
}
#define set_outcome set_object

static PyObject *
get_shares(PyObject *self, void *closure)
{
    PyObject *found = held_in(self, PLACE(PyObject *, self, closure));
    if (found == Py_None) {
        Py_DECREF(found);
        return PyTuple_New(0);
    }
    return found;
}
#define set_shares set_object

static PyObject *
get_ident(PyObject *self, void *closure)
{
    return PyLong_FromUnsignedLongLong(*PLACE(uint64_t, self, closure));
}

static int
set_ident(PyObject *self, PyObject *value, void *closure)
{
    if (cannot_be_deleted(value)) {
        return -1;
    }
    unsigned long long ident = PyLong_AsUnsignedLongLong(value);
    if (ident == (unsigned long long)-1 && PyErr_Occurred()) {
        return -1;
    }
    *PLACE(uint64_t, self, closure) = ident;
    return 0;
}

static PyGetSetDef job_getset[] = {
    FIELD(Job, pool, object),       FIELD(Job, function, object), FIELD(Job, lane, object),
    FIELD(Job, finished, object),   FIELD(Job, task, object),     FIELD(Job, worker, object),
    FIELD(Job, glances, object),    FIELD(Job, congested, object), FIELD(Job, outcome, outcome),
    FIELD(Job, held_by, shares),    FIELD(Job, submitted, seconds), FIELD(Job, started, known),
    FIELD(Job, ended, known),       FIELD(Job, cpu, known),       FIELD(Job, glanced, seconds),
    FIELD(Job, after, seconds),     FIELD(Job, busy, seconds),    FIELD(Job, submitter, ident),
    FIELD(Job, for_loop, flag),     FIELD(Job, abandoned, flag),  FIELD(Job, queued, flag),
    {NULL},
};

/* A new reference to what a dictionary has for a key; NULL, with or without an exception set. */
static PyObject *
found_in(PyObject *dict, PyObject *key)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *found = NULL;
    (void)PyDict_GetItemRef(dict, key, &found);
    return found;
#else
    PyObject *found = PyDict_GetItemWithError(dict, key);
    Py_XINCREF(found);
    return found;
#endif
}

/* Take a key out of a dictionary: 1 where it was there, 0 where not, -1 with an exception set. */
static int
take_out(PyObject *dict, PyObject *key)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyDict_Pop(dict, key, NULL);
#else
    if (PyDict_DelItem(dict, key) == 0) {
        return 1;
    }
    if (!PyErr_ExceptionMatches(PyExc_KeyError)) {
        return -1;
    }
    PyErr_Clear();
    return 0;
#endif
}

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

/* An error of ours is noted (0), one of the application's goes on (-1): which it is, is judged in Python. */
static int
settle_error(PyObject *self, Module *module)
{
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    PyErr_NormalizeException(&kind, &error, &trace);
    if (trace != NULL) {
        PyException_SetTraceback(error, trace);
    }
    PyObject *goes_on = PyObject_CallMethodOneArg(self, module->fault_name, error);
    if (goes_on == NULL) {
        Py_XDECREF(kind);
        Py_XDECREF(error);
        Py_XDECREF(trace);
        return -1;
    }
    int result = goes_on == Py_True ? -1 : 0;
    Py_DECREF(goes_on);
    if (result < 0) {
        PyErr_Restore(kind, error, trace);
        return -1;
    }
    Py_XDECREF(kind);
    Py_XDECREF(error);
    Py_XDECREF(trace);
    return 0;
}

/* What `here.worker` is in this thread: a new reference. Where it stays the same, it is kept where it is found
 * sooner. */
static PyObject *
worker_here(Module *module)
{
    PyObject *kept = module->of_threads == Py_True ? PyThreadState_GetDict() : NULL;
    PyObject *worker = kept != NULL ? found_in(kept, module->here) : NULL;
    if (worker != NULL || PyErr_Occurred()) {
        return worker;
    }
    worker = PyObject_GetAttr(module->here, module->worker_name);
    if (worker != NULL && kept != NULL && PyDict_SetItem(kept, module->here, worker) < 0) {
        Py_CLEAR(worker);
    }
    return worker;
}

static int
note_beginning(Job *self, Module *module)
{
    Pool *pool;
    Lane *lane;
    PyObject *worker = worker_here(module);
    if (worker == NULL) {
        return -1;
    }
    int failed = PyObject_SetAttr(worker, module->job_name, (PyObject *)self) < 0;
    Py_XDECREF(exchange((PyObject *)self, &self->worker, worker));
    if (failed || places_of(self, module, &pool, &lane) < 0) {
        return -1;
    }
    set_number(&self->after, get_number(&pool->last_end));
    if (PyDict_SetItem(pool->running, (PyObject *)self, Py_None) < 0 || take_out(pool->waiting, (PyObject *)self) < 0) {
        return -1;
    }
    double cpu = lane->quick ? NAN : read_thread_cpu(module);
    double now = read_clock(module);
    set_number(&self->cpu, cpu);
    set_number(&self->started, now);
    return PyErr_Occurred() ? -1 : 0;
}

/* A worker takes the job: the function that it stands for. NULL for an exception that is the application's. */
static PyObject *
job_begin(Job *self, PyObject *Py_UNUSED(nothing))
{
    Module *module = the_module;
    PyObject *function = exchange((PyObject *)self, &self->function, NULL);
    if (function == NULL) {
        function = Py_None;
        Py_INCREF(function);
    }
    if (note_beginning(self, module) < 0 && settle_error((PyObject *)self, module) < 0) {
        Py_DECREF(function);
        return NULL;
    }
    return function;
}

static PyObject *
job_call(Job *self, PyObject *args, PyObject *kwargs)
{
    PyObject *function = job_begin(self, NULL);
    if (function == NULL) {
        return NULL;
    }
    PyObject *result = PyObject_Call(function, args, kwargs);
    Py_DECREF(function);
    return result;
}

/* Whether a job that has just ended need not be counted by itself; then it is counted here. */
static int
add_to_lane(Job *self, Lane *lane, double now, int failed)
{
    double submitted = get_number(&self->submitted), started = get_number(&self->started);
    int added = 0;
    if (!(now - submitted < get_number(&lane->brief)) || self->abandoned || self->glances != NULL || self->queued) {
        return 0;
    }
    double wait = started > submitted ? started - submitted : 0.0, run = now > started ? now - started : 0.0;
    double cpu = get_number(&self->cpu);
    Py_BEGIN_CRITICAL_SECTION(lane);
    if (lane->open) {
        added = 1;
        lane->jobs++;
        lane->failed += failed;
        lane->loop_jobs += self->for_loop;
        lane->wait.number += wait;
        lane->run.number += run;
        if (cpu >= 0) {
            lane->cpu.number += cpu;
            lane->cpu_known.number += run;
        }
    }
    Py_END_CRITICAL_SECTION();
    return added;
}

/* Hand it over to whoever counts; from then on brief ones of its lane may be added to it. They may be before, but never
 * when it is counted already: who counts a job closes its lane and then has what was added. */
static int
hand_over(Job *self, Module *module, Lane *lane)
{
    PyObject *added, *more = NULL;
    int result = -1;
    set_open(lane, 1);
    PyObject *done = PyObject_CallMethodOneArg(self->finished, module->append_name, (PyObject *)self);
    if (done == NULL) {
        set_open(lane, 0);
        return -1;
    }
    Py_DECREF(done);
    added = PyObject_GetAttr(self->finished, module->added_name);
    if (added != NULL) {
        more = PyNumber_Add(added, module->one);
        Py_DECREF(added);
    }
    if (more != NULL) {
        result = PyObject_SetAttr(self->finished, module->added_name, more);
        Py_DECREF(more);
    }
    return result;
}

/* The worker has done with the job: it has none until it takes the next. */
static int
leave_worker(Job *self, Module *module)
{
    PyObject *worker = held_in((PyObject *)self, &self->worker);
    int result = -1;
    PyObject *present = PyObject_GetAttr(worker, module->job_name);
    if (present != NULL) {
        result = present == (PyObject *)self ? PyObject_SetAttr(worker, module->job_name, Py_None) : 0;
        Py_DECREF(present);
    }
    double began = get_number(&self->cpu);
    if (result == 0 && !isnan(began)) {
        PyObject *here = worker_here(module);
        if (here == NULL) {
            result = -1;
        }
        else {
            set_number(&self->cpu, here == worker ? read_thread_cpu(module) - began : NAN);
            Py_DECREF(here);
        }
    }
    Py_DECREF(worker);
    return result;
}

static int
note_end(Job *self, Module *module, PyObject *future)
{
    Pool *pool;
    Lane *lane;
    double now = read_clock(module);
    if ((isnan(now) && PyErr_Occurred()) || places_of(self, module, &pool, &lane) < 0) {
        return -1;
    }
    int began = take_out(pool->running, (PyObject *)self);
    if (began < 0) {
        return -1;
    }
    if (!began) {
        PyObject *at = PyFloat_FromDouble(now);
        PyObject *done = at == NULL ? NULL
                                    : PyObject_CallMethodObjArgs((PyObject *)self, module->unbegun_name, future, at, NULL);
        Py_XDECREF(at);
        Py_XDECREF(done);
        return done == NULL ? -1 : 0;
    }
    set_number(&self->ended, now);
    set_number(&pool->last_end, now);
    if (leave_worker(self, module) < 0) {
        return -1;
    }
    PyObject *error = PyObject_GetAttr(future, module->exception_name);
    if (error == NULL) {
        return -1;
    }
    int failed = error != Py_None;
    Py_DECREF(error);
    PyObject *outcome = self->abandoned ? module->abandoned : failed ? module->failed : module->completed;
    Py_INCREF(outcome);
    Py_XDECREF(exchange((PyObject *)self, &self->outcome, outcome));
    return add_to_lane(self, lane, now, failed) ? 0 : hand_over(self, module, lane);
}

static PyObject *
job_finish(Job *self, PyObject *future)
{
    Module *module = the_module;
    if (note_end(self, module, future) < 0 && settle_error((PyObject *)self, module) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Whether a future in this state has yet to call its callbacks. */
static int
is_open(PyObject *state)
{
    return PyUnicode_Check(state)
           && (PyUnicode_CompareWithASCIIString(state, "PENDING") == 0
               || PyUnicode_CompareWithASCIIString(state, "RUNNING") == 0);
}

static PyMethodDef finish_method = {"finish", (PyCFunction)job_finish, METH_O, "See Job.finish in jobs.py."};

/* What add_done_callback() does, without its lock, which would cost more than all the rest. */
static PyObject *
job_attach(Job *self, PyObject *future)
{
    Module *module = the_module;
    PyObject *callbacks = PyObject_GetAttr(future, module->callbacks_name);
    PyObject *finish = callbacks != NULL ? PyCFunction_New(&finish_method, (PyObject *)self) : NULL;
    int failed = finish == NULL;
    if (!failed && PyList_Check(callbacks)) {
        failed = PyList_Append(callbacks, finish) < 0;
    }
    else if (!failed) {
        PyObject *done = PyObject_CallMethodOneArg(callbacks, module->append_name, finish);
        failed = done == NULL;
        Py_XDECREF(done);
    }
    Py_XDECREF(finish);
    Py_XDECREF(callbacks);
    PyObject *state = failed ? NULL : PyObject_GetAttr(future, module->state_name);
    if (state == NULL) {
        return NULL;
    }
    int open = is_open(state); /* otherwise it may have been too late, or just in time */
    Py_DECREF(state);
    if (!open) {
        return job_finish(self, future);
    }
    Py_RETURN_NONE;
}

static PyMethodDef job_methods[] = {
    {"begin", (PyCFunction)job_begin, METH_NOARGS, "See Job.begin in jobs.py."},
    {"finish", (PyCFunction)job_finish, METH_O, "See Job.finish in jobs.py."},
    {"attach", (PyCFunction)job_attach, METH_O, "See Job.attach in jobs.py."},
    {NULL},
};

static PyType_Slot job_slots[] = {
    {Py_tp_doc, "The fields of a job, and what most jobs do."},
    {Py_tp_new, new_job},
    {Py_tp_dealloc, job_dealloc},
    {Py_tp_traverse, job_traverse},
    {Py_tp_clear, job_clear},
    {Py_tp_call, job_call},
    {Py_tp_methods, job_methods},
    {Py_tp_getset, job_getset},
    {0, NULL},
};

static PyType_Spec job_spec = {
    .name = "loopwatch.observe._jobs_c.JobFields",
    .basicsize = sizeof(Job),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = job_slots,
};

/* --- submitting -------------------------------------------------------------------------------- */

#define ON_LOOP 48
#define ELSEWHERE 16
#define MOST_ENDS 16
#if PY_VERSION_HEX >= 0x030B0000
#define WORDS_A_FRAME 1 /* the bytecode lies within the code object: its address plus the offset is unique */
#else
#define WORDS_A_FRAME 2
#endif

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyTypeObject *kind;
    PyObject *finished;
    PyObject *current_task;
    PyObject *callee_key;
    int ends;
    uintptr_t end[MOST_ENDS];
} Entry;

/* The code of the function that a partial of `Context.run` carries, as asyncio.to_thread() makes it; else NULL. */
static PyObject *
carried_code(PyObject *partial, Module *module)
{
    PyObject *code = NULL;
    PyObject *run = PyObject_GetAttr(partial, module->func_name);
    PyObject *args = run != NULL ? PyObject_GetAttr(partial, module->args_name) : NULL;
    if (args != NULL && PyCFunction_Check(run) && PyTuple_Check(args) && PyTuple_GET_SIZE(args) > 0) {
        PyObject *owner = PyCFunction_GET_SELF(run);
        PyObject *function = PyTuple_GET_ITEM(args, 0);
        if (owner != NULL && PyContext_CheckExact(owner) && PyFunction_Check(function)) {
            code = PyFunction_GET_CODE(function);
        }
    }
    Py_XDECREF(args);
    Py_XDECREF(run);
    PyErr_Clear();
    return code;
}

/* What stands for the callee in a key: the address of its code, or 0 and `name`. -1 with an exception set. */
static int
callee_of(Entry *self, Module *module, PyObject *function, uint64_t *word, PyObject **name)
{
    PyObject *code = NULL;
    if (Py_IS_TYPE(function, &PyFunction_Type)) {
        code = PyFunction_GET_CODE(function);
    }
    else if (Py_IS_TYPE(function, module->partial_type)) {
        code = carried_code(function, module);
    }
    if (code != NULL) {
        *word = (uint64_t)(uintptr_t)code;
        return 0;
    }
    PyObject *key = PyObject_CallOneArg(self->callee_key, function);
    if (key == NULL) {
        return -1;
    }
    if (PyLong_Check(key)) {
        *word = (uint64_t)(uintptr_t)PyLong_AsVoidPtr(key);
        Py_DECREF(key);
        return PyErr_Occurred() ? -1 : 0;
    }
    *word = 0;
    *name = key;
    return 0;
}

static inline int
is_end(Entry *self, uintptr_t code)
{
    for (int i = 0; i < self->ends; i++) {
        if (self->end[i] == code) {
            return 1;
        }
    }
    return 0;
}

/* Where a frame stands; -1 with an exception set. */
static int
place_of(Module *module, PyFrameObject *frame, uintptr_t code, uint64_t *words)
{
#if PY_VERSION_HEX >= 0x030B0000
    (void)module;
    words[0] = (uint64_t)code + (uint64_t)PyFrame_GetLasti(frame);
#else
    PyObject *offset = PyObject_GetAttr((PyObject *)frame, module->lasti_name);
    if (offset == NULL) {
        return -1;
    }
    words[0] = code;
    words[1] = (uint64_t)PyLong_AsLongLong(offset);
    Py_DECREF(offset);
#endif
    return 0;
}

/* How many frames, from `caller` on, submit the job, and where they stand; -1 with an exception set. */
static int
walk(Entry *self, Module *module, PyFrameObject *caller, int most, int to_step, uint64_t *words)
{
    PyFrameObject *frame = caller;
    int depth = 0;
    Py_INCREF(frame);
    while (frame != NULL && depth < most) {
        PyCodeObject *code = PyFrame_GetCode(frame);
        uintptr_t address = (uintptr_t)code;
        Py_DECREF(code); /* the frame has it */
        if ((to_step && is_end(self, address)) || place_of(module, frame, address, words + depth * WORDS_A_FRAME) < 0) {
            break;
        }
        depth++;
        PyFrameObject *outer = depth < most ? PyFrame_GetBack(frame) : NULL;
        Py_DECREF(frame);
        frame = outer;
    }
    Py_XDECREF(frame);
    return PyErr_Occurred() ? -1 : depth;
}

/* The lane of the last job of a pool, if that had the very same key: a new reference. */
static PyObject *
same_as_last(Pool *pool, const void *words, size_t size)
{
    PyObject *lane = NULL;
    Py_BEGIN_CRITICAL_SECTION(pool);
    if (pool->last_key != NULL && (size_t)PyBytes_GET_SIZE(pool->last_key) == size
        && memcmp(PyBytes_AS_STRING(pool->last_key), words, size) == 0) {
        lane = pool->last_lane;
        Py_INCREF(lane);
    }
    Py_END_CRITICAL_SECTION();
    return lane;
}

static void
keep_as_last(Pool *pool, PyObject *key, PyObject *lane)
{
    PyObject *key_before, *lane_before;
    Py_INCREF(key);
    Py_INCREF(lane);
    Py_BEGIN_CRITICAL_SECTION(pool);
    key_before = pool->last_key;
    lane_before = pool->last_lane;
    pool->last_key = key;
    pool->last_lane = lane;
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(key_before);
    Py_XDECREF(lane_before);
}

/* The lane of a job: `most` frames are looked at, on a loop (`to_step`) up to where its step begins. */
static PyObject *
lane_of(Entry *self, Module *module, Pool *pool, PyObject *function, int most, int to_step)
{
    uint64_t words[1 + ON_LOOP * WORDS_A_FRAME];
    PyObject *name = NULL, *key = NULL, *lane = NULL;
    PyObject *caller = PyObject_CallOneArg(module->getframe, module->one);
    if (caller == NULL || callee_of(self, module, function, words, &name) < 0) {
        goto done;
    }
    int depth = walk(self, module, (PyFrameObject *)caller, most, to_step, words + 1);
    if (depth < 0) {
        goto done;
    }
    size_t size = (size_t)(1 + depth * WORDS_A_FRAME) * sizeof(uint64_t);
    if (name == NULL && (lane = same_as_last(pool, words, size)) != NULL) {
        goto done;
    }
    key = PyBytes_FromStringAndSize((char *)words, (Py_ssize_t)size);
    if (key != NULL && name != NULL) {
        PyObject *named = PyTuple_Pack(2, key, name);
        Py_SETREF(key, named);
    }
    if (key == NULL) {
        goto done;
    }
    lane = found_in(pool->lanes, key);
    if (lane != NULL && name == NULL) {
        keep_as_last(pool, key, lane);
    }
    if (lane == NULL && !PyErr_Occurred()) {
        PyObject *frames = PyLong_FromLong(depth);
        if (frames != NULL) {
            PyObject *whole = most == 1 ? Py_False : Py_True;
            lane = PyObject_CallMethodObjArgs((PyObject *)pool, module->meet_name, key, frames, caller, function, whole,
                                              NULL);
            Py_DECREF(frames);
        }
    }
done:
    Py_XDECREF(key);
    Py_XDECREF(name);
    Py_XDECREF(caller);
    return lane;
}

/* Whether what is known of a worker was ever asked for in this thread: otherwise it runs no job. */
#ifdef _MSC_VER
static __declspec(thread) int is_known;
#else
static __thread int is_known;
#endif

static PyObject *
note_worker(PyObject *Py_UNUSED(owner), PyObject *Py_UNUSED(nothing))
{
    is_known = 1;
    Py_RETURN_NONE;
}

/* The job that this thread's worker runs, None where it is none: a new reference. */
static PyObject *
outer_job(Module *module)
{
    if (!is_known) {
        Py_RETURN_NONE;
    }
    PyObject *worker = worker_here(module);
    if (worker == NULL) {
        return NULL;
    }
    PyObject *outer = PyObject_GetAttr(worker, module->job_name);
    Py_DECREF(worker);
    return outer;
}

/* For whom the job works: the task and loop that submit it, or the loop of the job that does. */
static int
set_owner(Entry *self, Module *module, Job *job, PyObject *loop, PyObject *outer)
{
    if (loop == Py_None) {
        if (outer == Py_None) {
            return 0;
        }
        job->submitter = PyThread_get_thread_ident();
        PyObject *for_loop = PyObject_GetAttr(outer, module->for_loop_name); /* a job of any kind */
        job->for_loop = for_loop == Py_True;
        Py_XDECREF(for_loop);
        return for_loop == NULL ? -1 : 0;
    }
    job->for_loop = 1;
    PyObject *task = PyObject_CallOneArg(self->current_task, loop);
    if (task == NULL) {
        return -1;
    }
    if (task != Py_None) {
        job->task = PyWeakref_NewRef(task, NULL);
    }
    Py_DECREF(task);
    return task != Py_None && job->task == NULL ? -1 : 0;
}

static PyObject *
enter(Entry *self, Module *module, Pool *pool, PyObject *function)
{
    PyObject *loop = PyObject_CallNoArgs(module->running_loop);
    PyObject *outer = NULL, *lane = NULL;
    Job *job = NULL;
    if (loop == NULL) {
        return NULL;
    }
    if (loop == Py_None) {
        outer = outer_job(module);
        if (outer != NULL) {
            lane = lane_of(self, module, pool, function, outer == Py_None ? 1 : ELSEWHERE, 0);
        }
    }
    else {
        lane = lane_of(self, module, pool, function, ON_LOOP, 1);
    }
    if (lane != NULL && (job = (Job *)self->kind->tp_alloc(self->kind, 0)) != NULL) {
        begin_fields(job);
        Py_INCREF(pool);
        job->pool = (PyObject *)pool;
        Py_INCREF(function);
        job->function = function;
        Py_INCREF(lane);
        job->lane = lane;
        Py_INCREF(self->finished);
        job->finished = self->finished;
        job->busy.number = (double)PyDict_GET_SIZE(pool->running);
        job->submitted.number = read_clock(module);
        if (set_owner(self, module, job, loop, outer) < 0 || PyErr_Occurred()
            || PyDict_SetItem(pool->waiting, (PyObject *)job, Py_None) < 0) {
            Py_CLEAR(job);
        }
    }
    Py_XDECREF(lane);
    Py_XDECREF(outer);
    Py_DECREF(loop);
    return (PyObject *)job;
}

static PyObject *
entry_vectorcall(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    Module *module = the_module;
    if (PyVectorcall_NARGS(flags) != 2 || (names != NULL && PyTuple_GET_SIZE(names) > 0)
        || !PyObject_TypeCheck(args[0], module->pool_type)) {
        PyErr_SetString(PyExc_TypeError, "a pool and a function are needed");
        return NULL;
    }
    return enter((Entry *)object, module, (Pool *)args[0], args[1]);
}

static int
entry_traverse(Entry *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->kind);
    Py_VISIT(self->finished);
    Py_VISIT(self->current_task);
    Py_VISIT(self->callee_key);
    return 0;
}

static int
entry_clear(Entry *self)
{
    Py_CLEAR(self->kind);
    Py_CLEAR(self->finished);
    Py_CLEAR(self->current_task);
    Py_CLEAR(self->callee_key);
    return 0;
}

static void
entry_dealloc(Entry *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)entry_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMemberDef entry_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Entry, vectorcall), READONLY, NULL},
    {NULL},
};

static PyType_Slot entry_slots[] = {
    {Py_tp_doc, "Makes the job of a function that is submitted, and puts it into its pool's queue."},
    {Py_tp_dealloc, entry_dealloc},
    {Py_tp_traverse, entry_traverse},
    {Py_tp_clear, entry_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, entry_members},
    {0, NULL},
};

static PyType_Spec entry_spec = {
    .name = "loopwatch.observe._jobs_c.Entry",
    .basicsize = sizeof(Entry),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = entry_slots,
};

static PyObject *
kept(PyObject *object)
{
    Py_INCREF(object);
    return object;
}

static int
keep_ends(Entry *entry, PyObject *until)
{
    PyObject *each = PySequence_Tuple(until);
    if (each == NULL) {
        return -1;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(each);
    if (count > MOST_ENDS) {
        PyErr_SetString(PyExc_ValueError, "there are more kinds of steps than are known here");
    }
    for (Py_ssize_t i = 0; i < count && !PyErr_Occurred(); i++) {
        entry->end[entry->ends++] = (uintptr_t)PyLong_AsVoidPtr(PyTuple_GET_ITEM(each, i));
    }
    Py_DECREF(each);
    return PyErr_Occurred() ? -1 : 0;
}

static PyObject *
make_entry(PyObject *Py_UNUSED(owner), PyObject *args)
{
    PyObject *finished, *until, *current_task, *callee_key;
    PyTypeObject *kind;
    Module *module = the_module;
    if (!PyArg_ParseTuple(args, "O!OOOO:make_entry", &PyType_Type, &kind, &finished, &until, &current_task,
                          &callee_key)) {
        return NULL;
    }
    if (!PyType_IsSubtype(kind, module->job_type)) {
        PyErr_SetString(PyExc_TypeError, "a class with the fields of a job is needed");
        return NULL;
    }
    Entry *entry = (Entry *)module->entry_type->tp_alloc(module->entry_type, 0);
    if (entry == NULL) {
        return NULL;
    }
    entry->vectorcall = entry_vectorcall;
    entry->kind = (PyTypeObject *)kept((PyObject *)kind);
    entry->finished = kept(finished);
    entry->current_task = kept(current_task);
    entry->callee_key = kept(callee_key);
    if (keep_ends(entry, until) < 0) {
        Py_CLEAR(entry);
    }
    return (PyObject *)entry;
}

/* --- making the module ------------------------------------------------------------------------- */

static void
put(PyObject **place, PyObject *object)
{
    PyObject *before = *place;
    Py_XINCREF(object);
    *place = object;
    Py_XDECREF(before);
}

static PyObject *
configure(PyObject *Py_UNUSED(owner), PyObject *args)
{
    PyObject *clock, *thread_cpu, *here, *of_threads;
    if (!PyArg_ParseTuple(args, "OOOO!:configure", &clock, &thread_cpu, &here, &PyBool_Type, &of_threads)) {
        return NULL;
    }
    if (!OWN_CLOCKS && (clock == Py_None || thread_cpu == Py_None)) {
        PyErr_SetString(PyExc_ValueError, "there are no clocks of its own on this platform");
        return NULL;
    }
    put(&the_module->clock, clock == Py_None ? NULL : clock);
    put(&the_module->thread_cpu, thread_cpu == Py_None ? NULL : thread_cpu);
    put(&the_module->here, here);
    put(&the_module->of_threads, of_threads);
    Py_RETURN_NONE;
}

static PyObject *
own_clocks(PyObject *Py_UNUSED(owner), PyObject *Py_UNUSED(nothing))
{
    if (!OWN_CLOCKS) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(dd)", read_own(CLOCK_MONOTONIC), read_own(CLOCK_THREAD_CPUTIME_ID));
}

static PyMethodDef functions[] = {
    {"configure", configure, METH_VARARGS, NULL},
    {"make_entry", make_entry, METH_VARARGS, NULL},
    {"note_worker", note_worker, METH_NOARGS, NULL},
    {"own_clocks", own_clocks, METH_NOARGS, NULL},
    {NULL},
};

/* What `module.name` is: a new reference. */
static PyObject *
imported(const char *module, const char *name)
{
    PyObject *found = PyImport_ImportModule(module);
    PyObject *value = found != NULL ? PyObject_GetAttrString(found, name) : NULL;
    Py_XDECREF(found);
    return value;
}

static PyTypeObject *
new_type(PyObject *owner, PyType_Spec *spec)
{
    return (PyTypeObject *)PyType_FromModuleAndSpec(owner, spec, NULL);
}

static int
know_names(Module *module)
{
    struct {
        PyObject **place;
        const char *name;
    } names[] = {
        {&module->worker_name, "worker"},       {&module->job_name, "job"},
        {&module->append_name, "append"},       {&module->added_name, "added"},
        {&module->exception_name, "_exception"}, {&module->state_name, "_state"},
        {&module->callbacks_name, "_done_callbacks"},
        {&module->unbegun_name, "finish_unbegun"}, {&module->fault_name, "note_fault"},
        {&module->meet_name, "meet"},           {&module->func_name, "func"},
        {&module->args_name, "args"},           {&module->lasti_name, "f_lasti"},
        {&module->for_loop_name, "for_loop"},   {&module->completed, "completed"},      {&module->failed, "failed"},
        {&module->abandoned, "abandoned"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        *names[i].place = PyUnicode_InternFromString(names[i].name);
        if (*names[i].place == NULL) {
            return -1;
        }
    }
    return 0;
}

static int
module_exec(PyObject *owner)
{
    Module *module = PyModule_GetState(owner);
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError, "_jobs_c serves the main interpreter only");
        return -1;
    }
    if (know_names(module) < 0 || (module->one = PyLong_FromLong(1)) == NULL
        || (module->getframe = imported("sys", "_getframe")) == NULL
        || (module->running_loop = imported("asyncio.events", "_get_running_loop")) == NULL
        || (module->partial_type = (PyTypeObject *)imported("functools", "partial")) == NULL
        || (module->job_type = new_type(owner, &job_spec)) == NULL
        || (module->lane_type = new_type(owner, &lane_spec)) == NULL
        || (module->pool_type = new_type(owner, &pool_spec)) == NULL
        || (module->entry_type = new_type(owner, &entry_spec)) == NULL) {
        return -1;
    }
    the_module = module;
    return PyModule_AddType(owner, module->job_type) < 0 || PyModule_AddType(owner, module->lane_type) < 0
                   || PyModule_AddType(owner, module->pool_type) < 0
               ? -1
               : 0;
}

static int
module_traverse(PyObject *owner, visitproc visit, void *arg)
{
    Module *module = PyModule_GetState(owner);
    Py_VISIT(module->job_type);
    Py_VISIT(module->lane_type);
    Py_VISIT(module->pool_type);
    Py_VISIT(module->entry_type);
    Py_VISIT(module->here);
    return 0;
}

static void
module_free(void *owner)
{
    Module *module = PyModule_GetState((PyObject *)owner);
    PyObject **place = (PyObject **)module;
    for (size_t i = 0; i < sizeof(Module) / sizeof(PyObject *); i++) { /* there is nothing else in it */
        Py_CLEAR(place[i]);
    }
    if (the_module == module) {
        the_module = NULL;
    }
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#if PY_VERSION_HEX >= 0x030C0000
    {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#endif
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_jobs_c",
    .m_doc = "Jobs in C; see jobs.py for what they are.",
    .m_size = sizeof(Module),
    .m_methods = functions,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__jobs_c(void)
{
    return PyModuleDef_Init(&definition);
}
