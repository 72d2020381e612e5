/* What the sampler sleeps on, and is woken by. */

#include "rest.h"
#include "clock.h"

#include <math.h>

#if HAS_GAUGES
#include <sys/resource.h>
#include <time.h>
#endif

typedef struct {
    PyObject_HEAD
    PyThread_type_lock lock; /* taken, but for the moment from when it rings to when it is heard */
    int rung;                /* whether it has rung and was not heard; with the interpreter lock, or atomic */
} Bell;

static PyObject *
bell_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {NULL};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, ":Bell", names)) {
        return NULL;
    }
    Bell *self = (Bell *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->lock = PyThread_allocate_lock();
    if (self->lock == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    PyThread_acquire_lock(self->lock, WAIT_LOCK);
    return (PyObject *)self;
}

static void
bell_dealloc(Bell *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->lock != NULL) {
        if (!self->rung) { /* a lock that is taken may not be freed on every platform */
            PyThread_release_lock(self->lock);
        }
        PyThread_free_lock(self->lock);
    }
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
bell_ring(Bell *self, PyObject *Py_UNUSED(nothing))
{
#ifdef Py_GIL_DISABLED
    if (_Py_atomic_exchange_int(&self->rung, 1) == 0) {
#else
    if (!self->rung) {
        self->rung = 1;
#endif
        PyThread_release_lock(self->lock);
    }
    Py_RETURN_NONE;
}

/* Whether it has rung within so many seconds. Needs no interpreter. */
static inline int
hear(Bell *self, double seconds)
{
    return PyThread_acquire_lock_timed(self->lock, (PY_TIMEOUT_T)ceil(seconds * 1e6), 0) == PY_LOCK_ACQUIRED;
}

static inline int
is_time(double seconds)
{
    if (seconds >= 0 && seconds <= 1e6) {
        return 1;
    }
    PyErr_SetString(PyExc_ValueError, "nobody sleeps for so long");
    return 0;
}

static PyObject *
bell_rest(Bell *self, PyObject *duration)
{
    double seconds = PyFloat_AsDouble(duration);
    if ((seconds == -1.0 && PyErr_Occurred()) || !is_time(seconds)) {
        return NULL;
    }
    int heard;
    Py_BEGIN_ALLOW_THREADS
    heard = hear(self, seconds);
    Py_END_ALLOW_THREADS
    if (heard) {
        STORE_FLAG(&self->rung, 0);
    }
    return PyBool_FromLong(heard);
}

#if HAS_GAUGES

/* For so many seconds what the kernel has told is good enough: to ask takes as long as all else here. */
#define GOOD_FOR 0.25

/* What is known of the time before the last sleep. */
typedef struct {
    double planned; /* when that sleep was to end */
    double at;      /* when the kernel was asked */
    double worked;  /* the process, until then */
    long switches;  /* of the thread, until the last sleep; -1 where the platform does not tell */
} Before;

static inline void
note_moment(Before *before)
{
    struct timespec worked;
#ifdef RUSAGE_THREAD
    struct rusage usage;
    before->switches = getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : -1;
#else
    before->switches = -1;
#endif
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &worked);
    before->worked = (double)((int64_t)worked.tv_sec * 1000000000 + worked.tv_nsec) / 1e9;
    before->at = own_clock();
}

typedef struct {
    double seconds;
    double until;
    double late;
    PyObject *gauges; /* a tuple */
    int asks;         /* whether a loop has to be asked for its end, which takes the interpreter */
} Doze;

static inline int
all_wait_on(PyObject *gauges, double now)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(gauges); i++) {
        if (!waits_on((Gauge *)PyTuple_GET_ITEM(gauges, i), now, 0)) {
            return 0;
        }
    }
    return 1;
}

/* With the interpreter. Each is read as soon as it was asked: what another is asked may give the interpreter away. */
static inline int
all_open_wait_on(const Doze *doze, double planned)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(doze->gauges); i++) {
        Gauge *gauge = (Gauge *)PyTuple_GET_ITEM(doze->gauges, i);
        if (!is_open(gauge) || !waits_on(gauge, own_clock(), 1)) {
            return 0;
        }
    }
    return own_clock() - planned < doze->late; /* it may have had to wait for the interpreter */
}

/* No lock is held while the interpreter is waited for: who ends the process ends this thread there. */
static inline int
all_wait_on_asked(const Doze *doze, double planned, PyThreadState **thread)
{
    PyEval_RestoreThread(*thread);
    int wait = all_open_wait_on(doze, planned);
    *thread = PyEval_SaveThread();
    return wait;
}

static int
doze(Bell *self, const Doze *doze, Before *before, PyThreadState **thread)
{
    double now = own_clock();
    note_moment(before);
    for (;;) {
        before->planned = now + doze->seconds;
        if (hear(self, doze->seconds)) {
            return 1;
        }
        now = own_clock();
        if (now - before->planned >= doze->late || now >= doze->until) {
            return 0;
        }
        if (!(doze->asks ? all_wait_on_asked(doze, before->planned, thread) : all_wait_on(doze->gauges, now))) {
            return 0;
        }
        if (doze->asks) { /* to wait for the interpreter is a sleep, too, and nobody tells how often */
            note_moment(before);
            now = before->at;
        }
        else if (now - before->at >= GOOD_FOR) {
            note_moment(before);
        }
        else if (before->switches >= 0) {
            before->switches++; /* by that sleep: nothing else is waited for here */
        }
    }
}

static PyObject *
bell_doze(Bell *self, PyTypeObject *type, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Doze given;
    if (count != 4 || names != NULL || !PyTuple_CheckExact(args[3])) {
        PyErr_SetString(PyExc_TypeError, "doze(seconds, until, late, gauges: tuple)");
        return NULL;
    }
    given.seconds = PyFloat_AsDouble(args[0]);
    given.until = PyFloat_AsDouble(args[1]);
    given.late = PyFloat_AsDouble(args[2]);
    given.gauges = args[3];
    given.asks = 0;
    if (PyErr_Occurred() || !is_time(given.seconds)) {
        return NULL;
    }
    Module *module = PyType_GetModuleState(type);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(given.gauges); i++) {
        if (!Py_IS_TYPE(PyTuple_GET_ITEM(given.gauges, i), module->gauge_type)) {
            PyErr_SetString(PyExc_TypeError, "what is no gauge tells nothing");
            return NULL;
        }
        given.asks |= ((Gauge *)PyTuple_GET_ITEM(given.gauges, i))->is_closed != NULL;
    }
    Before before;
    int heard;
    Py_INCREF(self); /* the interpreter may end meanwhile, and this thread with it */
    Py_INCREF(given.gauges);
    PyThreadState *thread = PyEval_SaveThread();
    heard = doze(self, &given, &before, &thread);
    PyEval_RestoreThread(thread);
    if (heard) {
        STORE_FLAG(&self->rung, 0);
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(given.gauges); i++) {
        take_back((Gauge *)PyTuple_GET_ITEM(given.gauges, i));
    }
    Py_DECREF(given.gauges);
    Py_DECREF(self);
    PyObject *switches = before.switches < 0 ? Py_NewRef(Py_None) : PyLong_FromLong(before.switches);
    return Py_BuildValue("NddNd", PyBool_FromLong(heard), before.planned, before.at, switches, before.worked);
}

#endif

static PyMethodDef bell_methods[] = {
    {"ring", (PyCFunction)bell_ring, METH_NOARGS, NULL},
    {"rest", (PyCFunction)bell_rest, METH_O, NULL},
#if HAS_GAUGES
    {"doze", (PyCFunction)(void (*)(void))bell_doze, METH_METHOD | METH_FASTCALL | METH_KEYWORDS, NULL},
#endif
    {NULL},
};

static PyType_Slot bell_slots[] = {
    {Py_tp_doc, "What a thread sleeps on, and is woken by; see _rest_py.py."},
    {Py_tp_new, bell_new},
    {Py_tp_dealloc, bell_dealloc},
    {Py_tp_methods, bell_methods},
    {0, NULL},
};

PyType_Spec bell_spec = {
    .name = "loopwatch.observe.resting._rest_c.Bell",
    .basicsize = sizeof(Bell),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = bell_slots,
};
