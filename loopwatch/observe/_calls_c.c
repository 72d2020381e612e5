/* Times the callbacks that are given to a loop of uvloop, in C: what `_calls_py.py` does.
 *
 * uvloop's handles are C and call what they were given. So a method by which callbacks are scheduled is replaced by a
 * `Schedule`, which hands on a `Call` in place of the callback: a callable that reads the clock before and after, and
 * in all else answers as the callback would. What is counted, and what runs right now, stands in the `Calls` of a loop.
 *
 * All policy stays in Python: `settle` is called with what was not quick.
 *
 * Threads: a `Calls` is written by its loop's thread and read by others, but for `waiting`, which all may change. With
 * the interpreter lock that needs no care; without it numbers are relaxed atomics, objects are exchanged in critical
 * sections, and calls are not kept for later use.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>

#include <math.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __linux__
#include <time.h>
#endif

#if PY_VERSION_HEX < 0x030D0000
#define Py_BEGIN_CRITICAL_SECTION(object) { (void)(object);
#define Py_END_CRITICAL_SECTION() }
#endif

typedef union {
    double seconds;
    uint64_t bits;
} Seconds;

#ifdef Py_GIL_DISABLED
static inline double
load_seconds(Seconds *place)
{
    Seconds copy;
    copy.bits = _Py_atomic_load_uint64_relaxed(&place->bits);
    return copy.seconds;
}

static inline void
store_seconds(Seconds *place, double seconds)
{
    Seconds copy;
    copy.seconds = seconds;
    _Py_atomic_store_uint64_relaxed(&place->bits, copy.bits);
}

#define LOAD_COUNT(place) _Py_atomic_load_int64_relaxed(place)
#define STORE_COUNT(place, count) _Py_atomic_store_int64_relaxed(place, count)
#define ADD_COUNT(place, more) (void)_Py_atomic_add_int64(place, more)
#define LOAD_POINTER(place) _Py_atomic_load_ptr_acquire(place)
#define STORE_POINTER(place, object) _Py_atomic_store_ptr_release(place, object)
#else
static inline double
load_seconds(Seconds *place)
{
    return place->seconds;
}

static inline void
store_seconds(Seconds *place, double seconds)
{
    place->seconds = seconds;
}

#define LOAD_COUNT(place) (*(place))
#define STORE_COUNT(place, count) (*(place) = (count))
#define ADD_COUNT(place, more) (*(place) += (more))
#define LOAD_POINTER(place) (*(place))
#define STORE_POINTER(place, object) (*(place) = (object))
#endif

#define MOST_KEPT 256

typedef struct {
    PyTypeObject *calls_type;
    PyTypeObject *call_type;
    PyTypeObject *schedule_type;
#ifndef Py_GIL_DISABLED
    int kept;
    PyObject *free[MOST_KEPT]; /* calls that have ended, for the next ones */
#endif
} Module;

static inline PyObject *
kept(PyObject *object)
{
    Py_INCREF(object);
    return object;
}

static inline double
own_clock(void)
{
    /* As `time.perf_counter` computes it: whole nanoseconds, divided once. */
#if defined(__linux__)
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)((int64_t)now.tv_sec * 1000000000 + now.tv_nsec) / 1e9;
#elif PY_VERSION_HEX >= 0x030D0000
    PyTime_t now = 0;
    (void)PyTime_PerfCounterRaw(&now);
    return PyTime_AsSecondsDouble(now);
#else
    return _PyTime_AsSecondsDouble(_PyTime_GetPerfCounter());
#endif
}

/* --- what is known of the calls of one loop -------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    void *loop; /* its address, for as long as it lives and is watched */
    Seconds began;
    Seconds seconds;
    int64_t quick;
    int64_t waiting;
    int64_t behind;
    PyObject *running;
    PyObject *settle;
    PyObject *clock; /* NULL: our own */
    double bound;
} Calls;

static PyObject *
calls_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"loop", "settle", "clock", "bound", NULL};
    PyObject *loop, *settle, *clock;
    double bound;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOd:Calls", names, &loop, &settle, &clock, &bound)) {
        return NULL;
    }
    Calls *self = (Calls *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->loop = loop;
        self->began.seconds = Py_HUGE_VAL;
        self->settle = kept(settle);
        self->clock = clock == Py_None ? NULL : kept(clock);
        self->bound = bound;
    }
    return (PyObject *)self;
}

static int
calls_traverse(Calls *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->running);
    Py_VISIT(self->settle);
    Py_VISIT(self->clock);
    return 0;
}

static int
calls_clear(Calls *self)
{
    Py_CLEAR(self->running);
    Py_CLEAR(self->settle);
    Py_CLEAR(self->clock);
    return 0;
}

static void
calls_dealloc(Calls *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)calls_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static inline void
set_running(Calls *self, PyObject *callback)
{
    PyObject *before;
    Py_XINCREF(callback);
    Py_BEGIN_CRITICAL_SECTION(self);
    before = self->running;
    STORE_POINTER(&self->running, callback);
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(before);
}

static PyObject *
calls_let_go(Calls *self, PyObject *Py_UNUSED(nothing))
{
    STORE_POINTER(&self->loop, NULL);
    Py_RETURN_NONE;
}

static PyObject *
get_running(Calls *self, void *Py_UNUSED(closure))
{
    PyObject *found;
    Py_BEGIN_CRITICAL_SECTION(self);
    found = self->running;
    Py_XINCREF(found);
    Py_END_CRITICAL_SECTION();
    if (found == NULL) {
        Py_RETURN_NONE;
    }
    return found;
}

static PyObject *
get_began(Calls *self, void *Py_UNUSED(closure))
{
    return PyFloat_FromDouble(load_seconds(&self->began));
}

static PyObject *
get_count(PyObject *self, void *closure)
{
    return PyLong_FromLongLong(LOAD_COUNT((int64_t *)((char *)self + (Py_ssize_t)(intptr_t)closure)));
}

static PyObject *
get_total(Calls *self, void *Py_UNUSED(closure))
{
    return PyFloat_FromDouble(load_seconds(&self->seconds));
}

#define COUNT(name) {#name, (getter)get_count, NULL, NULL, (void *)(intptr_t)offsetof(Calls, name)}

static PyGetSetDef calls_getset[] = {
    {"began", (getter)get_began, NULL, NULL, NULL},
    {"seconds", (getter)get_total, NULL, NULL, NULL},
    {"running", (getter)get_running, NULL, NULL, NULL},
    COUNT(quick),
    COUNT(waiting),
    COUNT(behind),
    {NULL},
};

static PyMethodDef calls_methods[] = {
    {"let_go", (PyCFunction)calls_let_go, METH_NOARGS, "Time nothing more."},
    {NULL},
};

static PyType_Slot calls_slots[] = {
    {Py_tp_doc, "What is known of the timed calls of one loop."},
    {Py_tp_new, calls_new},
    {Py_tp_dealloc, calls_dealloc},
    {Py_tp_traverse, calls_traverse},
    {Py_tp_clear, calls_clear},
    {Py_tp_methods, calls_methods},
    {Py_tp_getset, calls_getset},
    {0, NULL},
};

static PyType_Spec calls_spec = {
    .name = "loopwatch.observe._calls_c.Calls",
    .basicsize = sizeof(Calls),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = calls_slots,
};

/* --- what a handle is given in place of its callback --------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *callback;
    Calls *calls;
    Module *module; /* which its type keeps alive */
    int waits; /* whether it is one of those that are ready to run */
} Call;

static int
call_traverse(Call *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->callback);
    Py_VISIT(self->calls);
    return 0;
}

static inline void
waits_no_more(Call *self)
{
    if (self->waits) {
        self->waits = 0;
        ADD_COUNT(&self->calls->waiting, -1);
    }
}

static int
call_clear(Call *self)
{
    Py_CLEAR(self->callback);
    return 0;
}

static void
call_dealloc(Call *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    waits_no_more(self);
    Py_CLEAR(self->callback);
    Py_CLEAR(self->calls);
#ifndef Py_GIL_DISABLED
    Module *module = self->module;
    if (module->kept < MOST_KEPT) {
        module->free[module->kept++] = (PyObject *)self;
        Py_DECREF(type);
        return;
    }
#endif
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* Tell of what was not quick. What the callback has raised stays; an error of `settle` does not. */
static PyObject *
call_slowly(Calls *calls, PyObject *callback, double began, double ended, PyObject *answer)
{
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    PyObject *told = PyObject_CallFunction(calls->settle, "Odd", callback, began, ended);
    if (told == NULL) {
        if (PyErr_ExceptionMatches(PyExc_Exception)) {
            PyErr_WriteUnraisable(calls->settle);
        }
        else { /* what a signal handler raised goes the way of all that is raised here */
            Py_CLEAR(answer);
            Py_XDECREF(kind);
            Py_XDECREF(error);
            Py_XDECREF(trace);
            return NULL;
        }
    }
    Py_XDECREF(told);
    PyErr_Restore(kind, error, trace);
    return answer;
}

static double
call_clock(PyObject *clock)
{
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    PyObject *answer = PyObject_CallNoArgs(clock);
    double now = answer == NULL ? NAN : PyFloat_AsDouble(answer);
    Py_XDECREF(answer);
    PyErr_Clear();
    PyErr_Restore(kind, error, trace);
    return now;
}

static PyObject *
call_vectorcall(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    Call *self = (Call *)object;
    Calls *calls = self->calls;
    PyObject *callback = self->callback;
    if (callback == NULL || calls == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the garbage collector has taken apart what is to be called");
        return NULL;
    }
    waits_no_more(self);
    if (LOAD_POINTER(&calls->loop) == NULL || load_seconds(&calls->began) != Py_HUGE_VAL) {
        return PyObject_Vectorcall(callback, args, flags, names);
    }
    Py_INCREF(calls); /* the callback may cancel its own handle, and with it end this */
    Py_INCREF(callback);
    STORE_COUNT(&calls->behind, LOAD_COUNT(&calls->waiting));
    set_running(calls, callback);
    double began = calls->clock == NULL ? own_clock() : call_clock(calls->clock);
    store_seconds(&calls->began, began);
    PyObject *answer = PyObject_Vectorcall(callback, args, flags, names);
    double ended = calls->clock == NULL ? own_clock() : call_clock(calls->clock);
    store_seconds(&calls->seconds, load_seconds(&calls->seconds) + (ended - began));
    if (ended - began <= calls->bound) {
        STORE_COUNT(&calls->quick, LOAD_COUNT(&calls->quick) + 1);
    }
    else if (LOAD_POINTER(&calls->loop) != NULL) {
        answer = call_slowly(calls, callback, began, ended, answer);
    }
    store_seconds(&calls->began, Py_HUGE_VAL);
    set_running(calls, NULL);
    Py_DECREF(callback);
    Py_DECREF(calls);
    return answer;
}

/* In all else it answers as the callback would. */

static PyObject *
call_repr(Call *self)
{
    return PyObject_Repr(self->callback);
}

static PyObject *
call_str(Call *self)
{
    return PyObject_Str(self->callback);
}

static PyObject *
call_getattr(Call *self, PyObject *name)
{
    return PyObject_GetAttr(self->callback, name);
}

static PyObject *
call_compare(PyObject *self, PyObject *other, int operation)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject *ours = ((Call *)self)->callback;
    if (Py_TYPE(other) == type) {
        other = ((Call *)other)->callback;
    }
    return PyObject_RichCompare(ours, other, operation);
}

static Py_hash_t
call_hash(Call *self)
{
    return PyObject_Hash(self->callback);
}

static PyMemberDef call_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Call, vectorcall), READONLY},
    {NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_doc, "Stands for a callback, and times it."},
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_traverse, call_traverse},
    {Py_tp_clear, call_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_repr, call_repr},
    {Py_tp_str, call_str},
    {Py_tp_getattro, call_getattr},
    {Py_tp_richcompare, call_compare},
    {Py_tp_hash, call_hash},
    {Py_tp_members, call_members},
    {0, NULL},
};

static PyType_Spec call_spec = {
    .name = "loopwatch.observe._calls_c.Call",
    .basicsize = sizeof(Call),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = call_slots,
};

static PyObject *
new_call(Module *module, Calls *calls, PyObject *callback, int waits)
{
    Call *call;
#ifndef Py_GIL_DISABLED
    if (module->kept > 0) {
        call = (Call *)module->free[--module->kept];
        PyObject_Init((PyObject *)call, module->call_type);
    }
    else
#endif
    {
        call = PyObject_GC_New(Call, module->call_type);
        if (call == NULL) {
            return NULL;
        }
        call->vectorcall = call_vectorcall;
        call->module = module;
    }
    Py_INCREF(callback);
    call->callback = callback;
    Py_INCREF(calls);
    call->calls = calls;
    call->waits = waits;
    if (waits) {
        ADD_COUNT(&calls->waiting, 1);
    }
    PyObject_GC_Track(call);
    return (PyObject *)call;
}

/* --- the methods by which callbacks are scheduled --------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *dict;
    PyObject *weak;
    Module *module;
    PyObject *owner;    /* the module itself */
    PyObject *previous; /* the method that is called */
    PyObject *find;     /* gives the Calls of a loop, or None */
    Calls *last;        /* those that were found last */
    Py_ssize_t place;   /* where the callback stands among the arguments, the loop being the first */
    int waits;          /* whether it is ready to run at once */
} Schedule;

static int
schedule_traverse(Schedule *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->dict);
    Py_VISIT(self->owner);
    Py_VISIT(self->previous);
    Py_VISIT(self->find);
    Py_VISIT(self->last);
    return 0;
}

static int
schedule_clear(Schedule *self)
{
    Py_CLEAR(self->dict);
    Py_CLEAR(self->previous);
    Py_CLEAR(self->find);
    Py_CLEAR(self->last);
    return 0;
}

static void
schedule_dealloc(Schedule *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weak != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    (void)schedule_clear(self);
    Py_CLEAR(self->owner);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* A new reference to the Calls of a loop; NULL, with no exception, where it has none. */
static PyObject *
find_calls(Schedule *self, PyObject *loop)
{
    PyObject *found = PyObject_CallOneArg(self->find, loop);
    if (found == NULL || !Py_IS_TYPE(found, self->module->calls_type)) {
        Py_XDECREF(found);
        return NULL;
    }
    if (LOAD_POINTER(&((Calls *)found)->loop) != (void *)loop) {
        Py_DECREF(found);
        return NULL;
    }
    PyObject *before;
    Py_INCREF(found);
    Py_BEGIN_CRITICAL_SECTION(self);
    before = (PyObject *)self->last;
    self->last = (Calls *)found;
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(before);
    return found;
}

static inline PyObject *
calls_of(Schedule *self, PyObject *loop)
{
    Calls *found;
    Py_BEGIN_CRITICAL_SECTION(self);
    found = self->last;
    if (found != NULL && LOAD_POINTER(&found->loop) == (void *)loop) {
        Py_INCREF(found);
    }
    else {
        found = NULL;
    }
    Py_END_CRITICAL_SECTION();
    return found != NULL ? (PyObject *)found : find_calls(self, loop);
}

#define FEW 8

static PyObject *
schedule_vectorcall(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    Schedule *self = (Schedule *)object;
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    if (self->previous == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the garbage collector has taken apart what is to be called");
        return NULL;
    }
    Py_ssize_t all = count + (names == NULL ? 0 : PyTuple_GET_SIZE(names));
    PyObject *calls = NULL;
    if (count > self->place && all <= FEW && args[self->place] != Py_None) {
        calls = calls_of(self, args[0]);
        if (calls == NULL && PyErr_Occurred()) {
            return NULL;
        }
    }
    if (calls == NULL) {
        return PyObject_Vectorcall(self->previous, args, flags, names);
    }
    PyObject *call = new_call(self->module, (Calls *)calls, args[self->place], self->waits);
    Py_DECREF(calls);
    if (call == NULL) {
        return NULL;
    }
    PyObject *stack[FEW + 1];
    for (Py_ssize_t i = 0; i < all; i++) {
        stack[i + 1] = args[i];
    }
    stack[self->place + 1] = call;
    PyObject *handle =
        PyObject_Vectorcall(self->previous, stack + 1, (size_t)count | PY_VECTORCALL_ARGUMENTS_OFFSET, names);
    Py_DECREF(call);
    return handle;
}

static PyObject *
schedule_get(PyObject *self, PyObject *object, PyObject *Py_UNUSED(type))
{
    if (object == NULL || object == Py_None) {
        Py_INCREF(self);
        return self;
    }
    return PyMethod_New(self, object);
}

static PyMemberDef schedule_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(Schedule, dict), READONLY},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Schedule, weak), READONLY},
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Schedule, vectorcall), READONLY},
    {NULL},
};

static PyGetSetDef schedule_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict},
    {NULL},
};

static PyType_Slot schedule_slots[] = {
    {Py_tp_doc, "A method by which callbacks are scheduled, and timed."},
    {Py_tp_dealloc, schedule_dealloc},
    {Py_tp_traverse, schedule_traverse},
    {Py_tp_clear, schedule_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, schedule_get},
    {Py_tp_members, schedule_members},
    {Py_tp_getset, schedule_getset},
    {0, NULL},
};

static PyType_Spec schedule_spec = {
    .name = "loopwatch.observe._calls_c.Schedule",
    .basicsize = sizeof(Schedule),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR
             | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = schedule_slots,
};

static PyObject *
make_schedule(PyObject *owner, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"previous", "find", "place", "waits", NULL};
    PyObject *previous, *find;
    Py_ssize_t place;
    int waits;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOnp:make_schedule", names, &previous, &find, &place, &waits)) {
        return NULL;
    }
    if (place < 1 || place >= FEW) {
        PyErr_SetString(PyExc_ValueError, "the callback of a method cannot stand there");
        return NULL;
    }
    Module *module = PyModule_GetState(owner);
    Schedule *self = (Schedule *)module->schedule_type->tp_alloc(module->schedule_type, 0);
    if (self != NULL) {
        self->vectorcall = schedule_vectorcall;
        self->module = module;
        self->owner = kept(owner);
        self->previous = kept(previous);
        self->find = kept(find);
        self->place = place;
        self->waits = waits;
    }
    return (PyObject *)self;
}

/* --- making the module --------------------------------------------------------------------------------------- */

static PyMethodDef functions[] = {
    {"make_schedule", (PyCFunction)(void (*)(void))make_schedule, METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL},
};

static PyTypeObject *
new_type(PyObject *owner, PyType_Spec *spec)
{
    return (PyTypeObject *)PyType_FromModuleAndSpec(owner, spec, NULL);
}

static int
module_exec(PyObject *owner)
{
    Module *module = PyModule_GetState(owner);
    if (PyInterpreterState_Get() != PyInterpreterState_Main()) {
        PyErr_SetString(PyExc_ImportError, "_calls_c serves the main interpreter only");
        return -1;
    }
    if ((module->calls_type = new_type(owner, &calls_spec)) == NULL
        || (module->call_type = new_type(owner, &call_spec)) == NULL
        || (module->schedule_type = new_type(owner, &schedule_spec)) == NULL) {
        return -1;
    }
    return PyModule_AddType(owner, module->calls_type);
}

static int
module_traverse(PyObject *owner, visitproc visit, void *arg)
{
    Module *module = PyModule_GetState(owner);
    Py_VISIT(module->calls_type);
    Py_VISIT(module->call_type);
    Py_VISIT(module->schedule_type);
    return 0;
}

static void
module_free(void *object)
{
    Module *module = PyModule_GetState((PyObject *)object);
#ifndef Py_GIL_DISABLED
    while (module->kept > 0) {
        PyObject_GC_Del(module->free[--module->kept]);
    }
#endif
    Py_CLEAR(module->calls_type);
    Py_CLEAR(module->call_type);
    Py_CLEAR(module->schedule_type);
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
    .m_name = "_calls_c",
    .m_doc = "Times the callbacks of uvloop's loops in C; see _calls_py.py for what it does and why.",
    .m_size = sizeof(Module),
    .m_methods = functions,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__calls_c(void)
{
    return PyModuleDef_Init(&definition);
}
