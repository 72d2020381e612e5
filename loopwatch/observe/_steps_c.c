/* The stopwatch in C: what `_steps_py.py` does for steps and turns that are quick.
 *
 * All policy stays in Python. What this file knows: the slots of asyncio's handles (from their member
 * descriptors), one clock, one bound below which nothing else is done, and whom to call above it.
 *
 * The gain comes from `asyncio.Handle._run`, which is Python code that calls `context.run(callback, *args)`.
 * Where `previous` is that function, and nothing else (see genuine.py), the same is done here: enter the
 * context, call the callback, leave the context. What fails is handed to the genuine function, which finds
 * a stand-in for the context that raises it once more: so the message, the traceback, and what each version
 * of Python does with them are its own.
 *
 * Likewise a poll that does not wait, where `inner` is the method `select` of a genuine `EpollSelector`: mostly
 * nothing is ready, and then what its `epoll.poll` answers is all. What is ready, or raised, is given to the genuine
 * function, through a stand-in for the selector.
 *
 * Threads: a stopwatch is written by its loop's thread and read by others. With the interpreter lock that
 * needs no care; without it numbers are relaxed atomics, and objects are exchanged in critical sections.
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

/* --- numbers and objects that other threads read ----------------------------------------------- */

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
#define LOAD_FLAG(place) _Py_atomic_load_int_relaxed(place)
#define STORE_FLAG(place, flag) _Py_atomic_store_int_relaxed(place, flag)
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
#define LOAD_FLAG(place) (*(place))
#define STORE_FLAG(place, flag) (*(place) = (flag))
#define LOAD_POINTER(place) (*(place))
#define STORE_POINTER(place, object) (*(place) = (object))
#endif

static inline void
add_one(int64_t *place)
{
    STORE_COUNT(place, LOAD_COUNT(place) + 1);
}

/* A new reference to what stands in a place of `owner`, or NULL. */
static inline PyObject *
held_in(PyObject *owner, PyObject **place)
{
    PyObject *found;
    Py_BEGIN_CRITICAL_SECTION(owner);
    found = *place;
    Py_XINCREF(found);
    Py_END_CRITICAL_SECTION();
    return found;
}

/* Put `object` (the reference is taken over; NULL is nothing) into a place of `owner`. */
static inline void
put_in(PyObject *owner, PyObject **place, PyObject *object)
{
    PyObject *before;
    Py_BEGIN_CRITICAL_SECTION(owner);
    before = *place;
    STORE_POINTER(place, object);
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(before);
}

/* Likewise, where `expected` still stands there; whether it did. */
static int
put_instead(PyObject *owner, PyObject **place, PyObject *expected, PyObject *object)
{
    int put;
    PyObject *before;
    Py_BEGIN_CRITICAL_SECTION(owner);
    before = *place;
    put = before == expected;
    if (put) {
        STORE_POINTER(place, object);
    }
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(put ? before : object);
    return put;
}

/* --- the module --------------------------------------------------------------------------------- */

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

static void
drop(PyObject *kind, PyObject *error, PyObject *trace)
{
    Py_XDECREF(kind);
    Py_XDECREF(error);
    Py_XDECREF(trace);
}

/* --- exceptions that come in between ------------------------------------------------------------ */

/* The application's objects have raised something when we asked them. Whether it goes on into the application, as
 * guard.py judges; if not, it is cleared. */
static int
goes_on(Module *module)
{
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    if (trace == NULL && PyErr_GivenExceptionMatches(kind, PyExc_Exception)) { /* no Python ran: mostly no such name */
        drop(kind, error, trace);
        return 0;
    }
    PyErr_NormalizeException(&kind, &error, &trace);
    if (trace != NULL) {
        (void)PyException_SetTraceback(error, trace);
    }
    PyObject *answer = PyObject_CallOneArg(module->theirs, error);
    int theirs = answer == NULL ? -1 : PyObject_IsTrue(answer);
    Py_XDECREF(answer);
    if (theirs <= 0) { /* below zero: it was interrupted itself */
        drop(kind, error, trace);
        return theirs < 0;
    }
    PyErr_Restore(kind, error, trace);
    return 1;
}

/* An exception on its way out. What is done meanwhile is done as in a `finally`: it is the one being handled, and the
 * context of what is raised there. */
typedef struct {
    PyObject *kind, *error, *trace;
    PyObject *outer_kind, *outer_error, *outer_trace;
} Leaving;

static void
begin_finally(Leaving *leaving)
{
    PyErr_Fetch(&leaving->kind, &leaving->error, &leaving->trace);
    PyErr_NormalizeException(&leaving->kind, &leaving->error, &leaving->trace);
    if (leaving->trace != NULL) {
        (void)PyException_SetTraceback(leaving->error, leaving->trace);
    }
    PyErr_GetExcInfo(&leaving->outer_kind, &leaving->outer_error, &leaving->outer_trace);
    Py_XINCREF(leaving->kind);
    Py_XINCREF(leaving->error);
    Py_XINCREF(leaving->trace);
    PyErr_SetExcInfo(leaving->kind, leaving->error, leaving->trace);
}

/* `failed`: another exception is set, which takes the place of the first. */
static void
end_finally(Leaving *leaving, int failed)
{
    PyErr_SetExcInfo(leaving->outer_kind, leaving->outer_error, leaving->outer_trace);
    if (failed) {
        drop(leaving->kind, leaving->error, leaving->trace);
    }
    else {
        PyErr_Restore(leaving->kind, leaving->error, leaving->trace);
    }
}

/* --- the clock ---------------------------------------------------------------------------------- */

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

/* The time by `clock`; NULL is our own. NAN, with an exception set, where that fails. */
static double
call_clock(PyObject *clock)
{
    PyObject *answer = PyObject_CallNoArgs(clock);
    if (answer == NULL) {
        return NAN;
    }
    double now = PyFloat_AsDouble(answer);
    Py_DECREF(answer);
    return now == -1.0 && PyErr_Occurred() ? NAN : now;
}

static inline double
read_clock(PyObject *clock)
{
    return clock == NULL ? own_clock() : call_clock(clock);
}

/* --- the fields of a stopwatch -------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    Seconds mark;
    Seconds turn;
    Seconds idle;
    int64_t quick;
    int64_t quick_before;
    int64_t quick_turns;
    PyObject *handle;
    PyObject *step_counts;
    PyObject *turn_counts;
} Fields;

static PyObject *
fields_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    Fields *self = (Fields *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->mark.seconds = self->turn.seconds = Py_HUGE_VAL;
        Py_INCREF(Py_None);
        self->handle = Py_None;
    }
    return (PyObject *)self;
}

static int
fields_traverse(Fields *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->handle);
    Py_VISIT(self->step_counts);
    Py_VISIT(self->turn_counts);
    return 0;
}

static int
fields_clear(Fields *self)
{
    Py_CLEAR(self->handle);
    Py_CLEAR(self->step_counts);
    Py_CLEAR(self->turn_counts);
    return 0;
}

static void
fields_dealloc(Fields *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)fields_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

#define PLACE(type, self, closure) ((type *)((char *)(self) + (Py_ssize_t)(intptr_t)(closure)))

static PyObject *
get_seconds(PyObject *self, void *closure)
{
    return PyFloat_FromDouble(load_seconds(PLACE(Seconds, self, closure)));
}

static int
cannot_be_deleted(PyObject *value)
{
    if (value == NULL) {
        PyErr_SetString(PyExc_AttributeError, "a field of a stopwatch cannot be deleted");
        return 1;
    }
    return 0;
}

static int
set_seconds(PyObject *self, PyObject *value, void *closure)
{
    if (cannot_be_deleted(value)) {
        return -1;
    }
    double seconds = PyFloat_AsDouble(value);
    if (seconds == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    store_seconds(PLACE(Seconds, self, closure), seconds);
    return 0;
}

static PyObject *
get_count(PyObject *self, void *closure)
{
    return PyLong_FromLongLong(LOAD_COUNT(PLACE(int64_t, self, closure)));
}

static int
set_count(PyObject *self, PyObject *value, void *closure)
{
    if (cannot_be_deleted(value)) {
        return -1;
    }
    long long count = PyLong_AsLongLong(value);
    if (count == -1 && PyErr_Occurred()) {
        return -1;
    }
    STORE_COUNT(PLACE(int64_t, self, closure), count);
    return 0;
}

static PyObject *
get_object(PyObject *self, void *closure)
{
    PyObject *found = held_in(self, PLACE(PyObject *, self, closure));
    if (found == NULL) {
        PyErr_SetString(PyExc_AttributeError, "this field of the stopwatch was never set");
    }
    return found;
}

static int
set_object(PyObject *self, PyObject *value, void *closure)
{
    if (cannot_be_deleted(value)) {
        return -1;
    }
    Py_INCREF(value);
    put_in(self, PLACE(PyObject *, self, closure), value);
    return 0;
}

#define FIELD(name, kind) {#name, get_##kind, set_##kind, NULL, (void *)(intptr_t)offsetof(Fields, name)}

static PyGetSetDef fields_getset[] = {
    FIELD(mark, seconds),
    FIELD(turn, seconds),
    FIELD(idle, seconds),
    FIELD(quick, count),
    FIELD(quick_before, count),
    FIELD(quick_turns, count),
    FIELD(handle, object),
    FIELD(step_counts, object),
    FIELD(turn_counts, object),
    {NULL},
};

static PyType_Slot fields_slots[] = {
    {Py_tp_doc, "What one loop's hooks write and the sampler reads: the fields of a Stopwatch."},
    {Py_tp_new, fields_new},
    {Py_tp_dealloc, fields_dealloc},
    {Py_tp_traverse, fields_traverse},
    {Py_tp_clear, fields_clear},
    {Py_tp_getset, fields_getset},
    {0, NULL},
};

static PyType_Spec fields_spec = {
    .name = "loopwatch.observe._steps_c.Fields",
    .basicsize = sizeof(Fields),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = fields_slots,
};

/* Whether `kind` has for `name` the very descriptor that `Fields` has. What cannot be asked has not; below zero: with
 * an exception that goes on. */
static int
has_own(PyTypeObject *kind, Module *module, const char *name)
{
    PyObject *wanted = PyObject_GetAttrString((PyObject *)module->fields_type, name);
    PyObject *found = wanted != NULL ? PyObject_GetAttrString((PyObject *)kind, name) : NULL;
    int same = found != NULL && found == wanted;
    Py_XDECREF(found);
    Py_XDECREF(wanted);
    return found == NULL && goes_on(module) ? -1 : same;
}

/* The first few classes of stopwatches that were met and leave the fields alone: a subclass may put properties in their
 * place, and a stopwatch may change its class. Of any other class that is found out anew each time. */
#define MOST_CLASSES 4

typedef struct {
    PyTypeObject *kind[MOST_CLASSES];
} Plain;

static int
judge(PyObject *owner, Plain *plain, PyTypeObject *kind, Module *module)
{
    if (!PyType_IsSubtype(kind, module->fields_type)) {
        return 0;
    }
    for (PyGetSetDef *field = fields_getset; field->name != NULL; field++) {
        int same = has_own(kind, module, field->name);
        if (same <= 0) {
            return same;
        }
    }
    for (int i = 0; i < MOST_CLASSES; i++) {
        Py_INCREF(kind);
        if (put_instead(owner, (PyObject **)&plain->kind[i], NULL, (PyObject *)kind)) {
            break;
        }
    }
    return 1;
}

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

static int
plain_traverse(Plain *plain, visitproc visit, void *arg)
{
    for (int i = 0; i < MOST_CLASSES; i++) {
        Py_VISIT(plain->kind[i]);
    }
    return 0;
}

static void
plain_clear(Plain *plain)
{
    for (int i = 0; i < MOST_CLASSES; i++) {
        Py_CLEAR(plain->kind[i]);
    }
}

/* --- what a callback raised, raised once more in the genuine function -------------------------------- */

typedef struct {
    PyObject_HEAD
    PyObject *handle;
    PyObject **context_place;
    PyObject **args_place;
    PyObject *context;
    PyObject *args;        /* what the handle has by now; NULL where it may stay */
    PyObject *placeholder; /* what stands there instead */
    PyObject *kind, *error, *trace;
} Replay;

static int
replay_traverse(Replay *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->handle);
    Py_VISIT(self->context);
    Py_VISIT(self->args);
    Py_VISIT(self->placeholder);
    Py_VISIT(self->kind);
    Py_VISIT(self->error);
    Py_VISIT(self->trace);
    return 0;
}

static int
replay_clear(Replay *self)
{
    Py_CLEAR(self->handle);
    Py_CLEAR(self->context);
    Py_CLEAR(self->args);
    Py_CLEAR(self->placeholder);
    Py_CLEAR(self->kind);
    Py_CLEAR(self->error);
    Py_CLEAR(self->trace);
    return 0;
}

static void
replay_dealloc(Replay *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)replay_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* Leave the handle as it was. */
static void
replay_restore(Replay *self)
{
    if (self->context != NULL) {
        PyObject *context = self->context;
        self->context = NULL;
        (void)put_instead(self->handle, self->context_place, (PyObject *)self, context);
    }
    if (self->args != NULL) {
        PyObject *args = self->args;
        self->args = NULL;
        (void)put_instead(self->handle, self->args_place, self->placeholder, args);
    }
}

/* What the genuine function takes for `context.run`. */
static PyObject *
replay_run(Replay *self, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(count), PyObject *Py_UNUSED(names))
{
    PyObject *kind = self->kind, *error = self->error, *trace = self->trace;
    if (kind == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this was raised already");
        return NULL;
    }
    self->kind = self->error = self->trace = NULL;
    replay_restore(self);
    PyErr_Restore(kind, error, trace);
    return NULL;
}

static PyMethodDef replay_methods[] = {
    {"run", (PyCFunction)(void (*)(void))replay_run, METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL},
};

static PyType_Slot replay_slots[] = {
    {Py_tp_doc, "Stands for a context in which the callback has run already, and has raised."},
    {Py_tp_dealloc, replay_dealloc},
    {Py_tp_traverse, replay_traverse},
    {Py_tp_clear, replay_clear},
    {Py_tp_methods, replay_methods},
    {0, NULL},
};

static PyType_Spec replay_spec = {
    .name = "loopwatch.observe._steps_c.Replay",
    .basicsize = sizeof(Replay),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = replay_slots,
};

/* --- the run of a handle ----------------------------------------------------------------------------- */

#define MOST_TYPES 4

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *dict;
    PyObject *weak;
    Module *module;
    PyObject *owner;     /* the module itself */
    PyObject *previous;  /* what is timed */
    PyObject *reference; /* times the same, in Python, for stopwatches that are not plain */
    PyObject *settle;    /* called as settle(stopwatch, handle, now) where a step was not quick */
    PyObject *clock;     /* NULL: our own */
    Plain plain;
    double quick;
    int watching;
    int direct; /* whether to call the callback here */
    int types;
    PyTypeObject *type[MOST_TYPES]; /* of handles, with their slots where `Handle` has them */
    Py_ssize_t loop_offset, context_offset, callback_offset, args_offset;
} Run;

static int
run_traverse(Run *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->dict);
    Py_VISIT(self->owner);
    Py_VISIT(self->previous);
    Py_VISIT(self->reference);
    Py_VISIT(self->settle);
    Py_VISIT(self->clock);
    for (int i = 0; i < self->types; i++) {
        Py_VISIT(self->type[i]);
    }
    return plain_traverse(&self->plain, visit, arg);
}

static int
run_clear(Run *self)
{
    Py_CLEAR(self->dict);
    Py_CLEAR(self->previous);
    Py_CLEAR(self->reference);
    Py_CLEAR(self->settle);
    Py_CLEAR(self->clock);
    return 0;
}

static void
run_dealloc(Run *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weak != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    (void)run_clear(self);
    for (int i = 0; i < self->types; i++) {
        Py_CLEAR(self->type[i]);
    }
    plain_clear(&self->plain);
    Py_CLEAR(self->owner);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static inline int
has_known_slots(Run *self, PyObject *handle)
{
    PyTypeObject *type = Py_TYPE(handle);
    for (int i = 0; i < self->types; i++) {
        if (type == self->type[i]) {
            return 1;
        }
    }
    return 0;
}

#define SLOT(self, handle, name) ((PyObject **)((char *)(handle) + (self)->name##_offset))

/* A new reference to the stopwatch of the handle's loop, if it has a plain one; NULL, with no exception, if not.
 * What goes on into the application while that is asked is set. */
static PyObject *
stopwatch_of(Run *self, PyObject *handle, int known)
{
    Module *module = self->module;
    PyObject *loop = known ? held_in(handle, SLOT(self, handle, loop)) : PyObject_GetAttr(handle, module->loop_name);
    if (loop == NULL) {
        goto nothing;
    }
    PyObject *state = PyObject_GetAttr(loop, module->stopwatch_name);
    Py_DECREF(loop);
    if (state == NULL) {
        goto nothing;
    }
    if (is_plain((PyObject *)self, &self->plain, state, module) <= 0) {
        Py_DECREF(state);
        return NULL;
    }
    return state;
nothing:
    if (PyErr_Occurred()) {
        (void)goes_on(module);
    }
    return NULL;
}

static inline PyObject *
call_back(PyObject *callback, PyObject *args)
{
    Py_ssize_t count = PyTuple_GET_SIZE(args);
    PyObject *stack[6];
    if (count >= 6) {
        return PyObject_Call(callback, args, NULL);
    }
    /* With room before the first argument a bound method need not copy them. */
    for (Py_ssize_t i = 0; i < count; i++) {
        stack[i + 1] = PyTuple_GET_ITEM(args, i);
    }
    return PyObject_Vectorcall(callback, stack + 1, (size_t)count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
}

/* The callback has raised: let the genuine function find that. Takes over the reference to `context`. */
static PyObject *
raise_in_previous(Run *self, PyObject *handle, PyObject *context)
{
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    PyTypeObject *type = self->module->replay_type;
    Replay *replay = (Replay *)type->tp_alloc(type, 0);
    PyObject *placeholder = PyTuple_New(0);
    if (replay == NULL || placeholder == NULL) { /* without memory it has to do without this frame */
        PyErr_Clear();
        Py_XDECREF(placeholder);
        Py_XDECREF(replay);
        Py_DECREF(context);
        PyErr_Restore(kind, error, trace);
        return NULL;
    }
    Py_INCREF(handle);
    replay->handle = handle;
    replay->kind = kind;
    replay->error = error;
    replay->trace = trace;
    replay->context_place = SLOT(self, handle, context);
    replay->args_place = SLOT(self, handle, args);
    replay->placeholder = placeholder;
    replay->context = context;
    Py_INCREF(replay);
    put_in(handle, replay->context_place, (PyObject *)replay);
    PyObject *args = held_in(handle, replay->args_place);
    if (args != NULL && !PyTuple_CheckExact(args)) { /* the callback has cancelled its own handle */
        replay->args = args;
        Py_INCREF(placeholder);
        put_in(handle, replay->args_place, placeholder);
    }
    else {
        Py_XDECREF(args);
    }
    PyObject *answer = PyObject_CallOneArg(self->previous, handle);
    if (replay->kind != NULL) { /* something else was raised there before, as a signal handler can */
        PyObject *other[3];
        PyErr_Fetch(&other[0], &other[1], &other[2]);
        replay_restore(replay);
        PyErr_Restore(replay->kind, replay->error, replay->trace);
        replay->kind = replay->error = replay->trace = NULL;
        PyErr_WriteUnraisable(handle);
        PyErr_Restore(other[0], other[1], other[2]);
    }
    Py_DECREF(replay);
    return answer;
}

/* What `Handle._run` does. */
static PyObject *
run_callback(Run *self, PyObject *handle)
{
    PyObject *answer = NULL;
    PyObject *callback = held_in(handle, SLOT(self, handle, callback));
    PyObject *args = held_in(handle, SLOT(self, handle, args));
    PyObject *context = held_in(handle, SLOT(self, handle, context));
    if (callback == NULL || args == NULL || context == NULL || !PyTuple_CheckExact(args)
        || !PyContext_CheckExact(context)) {
        answer = PyObject_CallOneArg(self->previous, handle);
        goto done;
    }
    if (PyContext_Enter(context) == 0) {
        answer = call_back(callback, args);
        if (PyContext_Exit(context) < 0) {
            Py_CLEAR(answer);
        }
    }
    if (answer == NULL) {
        answer = raise_in_previous(self, handle, context);
        context = NULL;
    }
done:
    Py_XDECREF(context);
    Py_XDECREF(args);
    Py_XDECREF(callback);
    return answer;
}

/* A step has ended, with or without an exception. Returns -1 if there is another exception to raise instead. */
static int
end_step(Run *self, PyObject *object, PyObject *handle)
{
    Fields *state = (Fields *)object;
    double now;
    if (self->clock == NULL) {
        now = own_clock();
    }
    else {
        now = call_clock(self->clock);
        if (isnan(now) && PyErr_Occurred()) {
            return -1;
        }
    }
    int here = now - load_seconds(&state->mark) <= self->quick
                   ? is_plain((PyObject *)self, &self->plain, object, self->module)
                   : 0;
    if (here < 0) {
        return -1;
    }
    if (here) {
        add_one(&state->quick);
        store_seconds(&state->mark, now);
        /* So that the handle ends between the steps, and not within the next one. */
        Py_INCREF(Py_None);
        put_in(object, &state->handle, Py_None);
        return 0;
    }
    PyObject *ended = PyFloat_FromDouble(now);
    if (ended == NULL) {
        return -1;
    }
    PyObject *answer = PyObject_CallFunctionObjArgs(self->settle, object, handle, ended, NULL);
    Py_DECREF(ended);
    Py_XDECREF(answer);
    return answer == NULL ? -1 : 0;
}

static void
end_failed_step(Run *self, PyObject *state, PyObject *handle)
{
    Leaving leaving;
    begin_finally(&leaving);
    end_finally(&leaving, end_step(self, state, handle) < 0);
}

static PyObject *
run_vectorcall(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    Run *self = (Run *)object;
    if (PyVectorcall_NARGS(flags) != 1 || (names != NULL && PyTuple_GET_SIZE(names) != 0)) {
        PyErr_SetString(PyExc_TypeError, "_run() takes exactly one argument, the handle");
        return NULL;
    }
    PyObject *handle = args[0];
    if (self->previous == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the garbage collector has taken apart what is to be timed");
        return NULL;
    }
    if (!LOAD_FLAG(&self->watching)) {
        return PyObject_CallOneArg(self->previous, handle);
    }
    int known = has_known_slots(self, handle);
    PyObject *state = stopwatch_of(self, handle, known);
    if (state == NULL) {
        return PyErr_Occurred() ? NULL : PyObject_CallOneArg(self->reference, handle);
    }
    Py_INCREF(handle);
    put_in(state, &((Fields *)state)->handle, handle);
    PyObject *answer =
        known && self->direct ? run_callback(self, handle) : PyObject_CallOneArg(self->previous, handle);
    if (answer == NULL) {
        end_failed_step(self, state, handle);
        Py_DECREF(state);
        return NULL;
    }
    Py_DECREF(answer);
    int ended = end_step(self, state, handle);
    Py_DECREF(state);
    if (ended < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyObject *
run_get(PyObject *self, PyObject *object, PyObject *Py_UNUSED(type))
{
    if (object == NULL || object == Py_None) {
        Py_INCREF(self);
        return self;
    }
    return PyMethod_New(self, object);
}

static PyObject *
run_let_go(Run *self, PyObject *Py_UNUSED(nothing))
{
    STORE_FLAG(&self->watching, 0);
    Py_RETURN_NONE;
}

static PyObject *
run_take_up(Run *self, PyObject *Py_UNUSED(nothing))
{
    STORE_FLAG(&self->watching, 1);
    Py_RETURN_NONE;
}

/* A function is copied, and pickled, by its name. */
static PyObject *
run_reduce(PyObject *self, PyObject *Py_UNUSED(nothing))
{
    return PyObject_GetAttrString(self, "__qualname__");
}

/* What tools ask of a function, the one in Python answers. */
static PyObject *
run_ask_reference(Run *self, void *name)
{
    if (self->reference == NULL) {
        PyErr_SetString(PyExc_AttributeError, name);
        return NULL;
    }
    return PyObject_GetAttrString(self->reference, name);
}

static PyMethodDef run_methods[] = {
    {"__reduce__", run_reduce, METH_NOARGS, NULL},
    {"let_go", (PyCFunction)run_let_go, METH_NOARGS, "Pass straight through from the next step on."},
    {"take_up", (PyCFunction)run_take_up, METH_NOARGS, "Time again."},
    {NULL},
};

static PyMemberDef run_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(Run, dict), READONLY},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Run, weak), READONLY},
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Run, vectorcall), READONLY},
    {"direct", T_INT, offsetof(Run, direct), READONLY, "Whether callbacks are called here, without `previous`."},
    {"reference", T_OBJECT, offsetof(Run, reference), READONLY, "The same in Python."},
    {NULL},
};

#define OF_REFERENCE(name) {name, (getter)run_ask_reference, NULL, NULL, name}

static PyGetSetDef run_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict},
    OF_REFERENCE("__closure__"),
    OF_REFERENCE("__code__"),
    OF_REFERENCE("__defaults__"),
    OF_REFERENCE("__globals__"),
    OF_REFERENCE("__kwdefaults__"),
    {NULL},
};

static PyType_Slot run_slots[] = {
    {Py_tp_doc, "A replacement for asyncio.Handle._run that times it."},
    {Py_tp_dealloc, run_dealloc},
    {Py_tp_traverse, run_traverse},
    {Py_tp_clear, run_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_descr_get, run_get},
    {Py_tp_methods, run_methods},
    {Py_tp_members, run_members},
    {Py_tp_getset, run_getset},
    {0, NULL},
};

static PyType_Spec run_spec = {
    .name = "loopwatch.observe._steps_c.Run",
    .basicsize = sizeof(Run),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR
             | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = run_slots,
};

/* The offset of a slot from its descriptor; -1, with an exception, where that is not one of `type`'s own slots. */
static Py_ssize_t
offset_of(PyObject *descriptor, PyTypeObject *type)
{
    if (Py_IS_TYPE(descriptor, &PyMemberDescr_Type) && PyDescr_TYPE(descriptor) == type) {
        PyMemberDef *slot = ((PyMemberDescrObject *)descriptor)->d_member;
        if (slot->type == T_OBJECT_EX && slot->offset >= (Py_ssize_t)sizeof(PyObject)
            && slot->offset + (Py_ssize_t)sizeof(PyObject *) <= type->tp_basicsize) {
            return slot->offset;
        }
    }
    PyErr_Format(PyExc_TypeError, "%R is no slot of %R", descriptor, type);
    return -1;
}

/* `slots`: the descriptors of _loop, _context, _callback and _args; `types`: Handle, and those that keep its slots. */
static int
know_slots(Run *run, PyObject *slots, PyObject *types)
{
    if (!PyTuple_Check(slots) || PyTuple_GET_SIZE(slots) != 4 || !PyTuple_Check(types)
        || PyTuple_GET_SIZE(types) < 1 || PyTuple_GET_SIZE(types) > MOST_TYPES) {
        PyErr_SetString(PyExc_TypeError, "four slots are needed, and one to four types");
        return -1;
    }
    PyTypeObject *handle_type = (PyTypeObject *)PyTuple_GET_ITEM(types, 0);
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(types); i++) {
        PyObject *type = PyTuple_GET_ITEM(types, i);
        if (!PyType_Check(type) || !PyType_IsSubtype((PyTypeObject *)type, handle_type)) {
            PyErr_Format(PyExc_TypeError, "%R is no type of handles", type);
            return -1;
        }
    }
    Py_ssize_t *places[4] = {&run->loop_offset, &run->context_offset, &run->callback_offset, &run->args_offset};
    for (Py_ssize_t i = 0; i < 4; i++) {
        *places[i] = offset_of(PyTuple_GET_ITEM(slots, i), handle_type);
        if (*places[i] < 0) {
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(types); i++) {
        Py_INCREF(PyTuple_GET_ITEM(types, i));
        run->type[run->types++] = (PyTypeObject *)PyTuple_GET_ITEM(types, i);
    }
    return 0;
}

static PyObject *
kept(PyObject *object)
{
    Py_INCREF(object);
    return object;
}

static PyObject *
make_run(PyObject *owner, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"previous", "reference", "settle", "clock", "quick", "slots", "types", "direct", NULL};
    PyObject *previous, *reference, *settle, *clock, *slots, *types;
    double quick;
    int direct;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOdOOp:make_run", names, &previous, &reference, &settle, &clock,
                                     &quick, &slots, &types, &direct)) {
        return NULL;
    }
    Module *module = PyModule_GetState(owner);
    Run *run = (Run *)module->run_type->tp_alloc(module->run_type, 0);
    if (run == NULL) {
        return NULL;
    }
    run->vectorcall = run_vectorcall;
    run->module = module;
    run->owner = kept(owner);
    run->previous = kept(previous);
    run->reference = kept(reference);
    run->settle = kept(settle);
    run->clock = clock == Py_None ? NULL : kept(clock);
    run->quick = quick;
    run->watching = 1;
    if (slots != Py_None) {
        if (know_slots(run, slots, types) < 0) {
            Py_DECREF(run);
            return NULL;
        }
        run->direct = direct;
    }
    return (PyObject *)run;
}

/* --- what a poll answered, given to the genuine select -------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    PyObject *selector;
    PyObject *answer; /* NULL: the exception */
    PyObject *kind, *error, *trace;
} Answered;

static int
answered_traverse(Answered *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->selector);
    Py_VISIT(self->answer);
    Py_VISIT(self->kind);
    Py_VISIT(self->error);
    Py_VISIT(self->trace);
    return 0;
}

static int
answered_clear(Answered *self)
{
    Py_CLEAR(self->selector);
    Py_CLEAR(self->answer);
    Py_CLEAR(self->kind);
    Py_CLEAR(self->error);
    Py_CLEAR(self->trace);
    return 0;
}

static void
answered_dealloc(Answered *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)answered_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* It is the selector and its epoll object in one; all else is asked of the real selector. */
static PyObject *
answered_get(Answered *self, PyObject *name)
{
    if (PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, "_selector") == 0) {
        Py_INCREF(self);
        return (PyObject *)self;
    }
    if (PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, "poll") == 0) {
        return PyObject_GenericGetAttr((PyObject *)self, name);
    }
    return PyObject_GetAttr(self->selector, name);
}

static PyObject *
answered_poll(Answered *self, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(count),
              PyObject *Py_UNUSED(names))
{
    PyObject *answer = self->answer, *kind = self->kind, *error = self->error, *trace = self->trace;
    self->answer = self->kind = self->error = self->trace = NULL;
    if (answer == NULL && kind == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this was answered already");
    }
    else if (answer == NULL) {
        PyErr_Restore(kind, error, trace);
    }
    return answer;
}

static PyMethodDef answered_methods[] = {
    {"poll", (PyCFunction)(void (*)(void))answered_poll, METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL},
};

static PyType_Slot answered_slots[] = {
    {Py_tp_doc, "Stands for a selector that has been polled already."},
    {Py_tp_dealloc, answered_dealloc},
    {Py_tp_traverse, answered_traverse},
    {Py_tp_clear, answered_clear},
    {Py_tp_getattro, answered_get},
    {Py_tp_methods, answered_methods},
    {0, NULL},
};

static PyType_Spec answered_spec = {
    .name = "loopwatch.observe._steps_c.Answered",
    .basicsize = sizeof(Answered),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = answered_slots,
};

/* --- the poll ---------------------------------------------------------------------------------------- */

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *dict;
    PyObject *weak;
    Module *module;
    PyObject *owner;
    PyObject *state; /* NULL once it was let go */
    PyObject *inner;
    PyObject *reference; /* the same in Python, for a stopwatch that is not plain */
    PyObject *alarm;
    PyObject *clock;
    PyTypeObject *selector_type; /* NULL: always ask `inner` */
    PyTypeObject *epoll_type;
    Plain plain;
    double quick;
} Select;

static int
select_traverse(Select *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->dict);
    Py_VISIT(self->owner);
    Py_VISIT(self->state);
    Py_VISIT(self->inner);
    Py_VISIT(self->reference);
    Py_VISIT(self->alarm);
    Py_VISIT(self->clock);
    Py_VISIT(self->selector_type);
    Py_VISIT(self->epoll_type);
    return plain_traverse(&self->plain, visit, arg);
}

static int
select_clear(Select *self)
{
    Py_CLEAR(self->dict);
    Py_CLEAR(self->state);
    Py_CLEAR(self->inner);
    Py_CLEAR(self->reference);
    Py_CLEAR(self->alarm);
    Py_CLEAR(self->clock);
    Py_CLEAR(self->selector_type);
    Py_CLEAR(self->epoll_type);
    return 0;
}

static void
select_dealloc(Select *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    if (self->weak != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    (void)select_clear(self);
    plain_clear(&self->plain);
    Py_CLEAR(self->owner);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* Ask the selector: of a bound method its function, which saves a call. */
static inline PyObject *
poll(Select *self, PyObject *timeout)
{
    PyObject *inner = self->inner;
    if (!Py_IS_TYPE(inner, &PyMethod_Type)) {
        return PyObject_CallOneArg(inner, timeout);
    }
    PyObject *stack[3] = {NULL, PyMethod_GET_SELF(inner), timeout};
    return PyObject_Vectorcall(PyMethod_GET_FUNCTION(inner), stack + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
}

/* What an epoll object answered, or raised, told by the genuine select. Takes over `answer`. */
static PyObject *
tell_answer(Select *self, PyObject *answer, PyObject *timeout)
{
    PyObject *kind = NULL, *error = NULL, *trace = NULL;
    if (answer == NULL) {
        PyErr_Fetch(&kind, &error, &trace);
    }
    PyTypeObject *type = self->module->answered_type;
    Answered *answered = (Answered *)type->tp_alloc(type, 0);
    if (answered == NULL) {
        Py_XDECREF(answer);
        drop(kind, error, trace);
        return NULL;
    }
    answered->selector = PyMethod_GET_SELF(self->inner);
    Py_INCREF(answered->selector);
    answered->answer = answer;
    answered->kind = kind;
    answered->error = error;
    answered->trace = trace;
    PyObject *stack[3] = {NULL, (PyObject *)answered, timeout};
    PyObject *function = PyMethod_GET_FUNCTION(self->inner);
    PyObject *events = PyObject_Vectorcall(function, stack + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(answered);
    return events;
}

/* Ask a selector without waiting. */
static PyObject *
poll_zero(Select *self, PyObject *timeout)
{
    Module *module = self->module;
    if (self->selector_type == NULL || !Py_IS_TYPE(PyMethod_GET_SELF(self->inner), self->selector_type)) {
        return poll(self, timeout);
    }
    PyObject *selector = PyMethod_GET_SELF(self->inner);
    PyObject *epoll = PyObject_GetAttr(selector, module->selector_name);
    PyObject *keys = epoll != NULL ? PyObject_GetAttr(selector, module->keys_name) : NULL;
    PyObject *events = NULL;
    if (keys == NULL || !Py_IS_TYPE(epoll, self->epoll_type) || !PyDict_CheckExact(keys)) {
        PyErr_Clear(); /* the genuine function will say the same */
        events = poll(self, timeout);
        goto done;
    }
    Py_ssize_t most = PyDict_Size(keys);
    PyObject *at_most = PyLong_FromSsize_t(most > 0 ? most : 1);
    if (at_most == NULL) {
        goto done;
    }
    PyObject *stack[4] = {NULL, epoll, module->zero, at_most};
    events = PyObject_VectorcallMethod(module->poll_name, stack + 1, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(at_most);
    if (events == NULL || !PyList_CheckExact(events) || PyList_GET_SIZE(events) != 0) {
        events = tell_answer(self, events, timeout);
    }
done:
    Py_XDECREF(epoll);
    Py_XDECREF(keys);
    return events;
}

/* A turn ended. Returns whether what is ready behind it is to be counted, -1 with an exception. */
static inline int
end_turn(Select *self, PyObject *object, double ended)
{
    Fields *state = (Fields *)object;
    if (ended - load_seconds(&state->turn) <= self->quick) {
        add_one(&state->quick_turns);
        return 0;
    }
    PyObject *when = PyFloat_FromDouble(ended);
    if (when == NULL) {
        return -1;
    }
    PyObject *answer = PyObject_CallMethodOneArg(object, self->module->slow_turn_name, when);
    Py_DECREF(when);
    if (answer == NULL) {
        return -1;
    }
    int asked = PyObject_IsTrue(answer);
    Py_DECREF(answer);
    return asked;
}

static inline void
begin_turn(Fields *state, double now)
{
    store_seconds(&state->turn, now);
    STORE_COUNT(&state->quick_before, LOAD_COUNT(&state->quick));
}

/* Poll without waiting, and tell the stopwatch what is ready. */
static PyObject *
poll_and_count(Select *self, PyObject *state, PyObject *timeout)
{
    PyObject *events = poll_zero(self, timeout);
    if (events != NULL) {
        PyObject *answer = PyObject_CallMethodOneArg(state, self->module->counted_name, events);
        Py_XDECREF(answer);
        if (answer == NULL) {
            Py_CLEAR(events);
        }
    }
    return events;
}

static PyObject *
poll_at_once(Select *self, PyObject *object, PyObject *timeout)
{
    Fields *state = (Fields *)object;
    double entry = load_seconds(&state->mark);
    int asked = end_turn(self, object, entry);
    if (asked < 0) {
        return NULL;
    }
    begin_turn(state, entry);
    return asked ? poll_and_count(self, object, timeout) : poll_zero(self, timeout);
}

/* The poll that waited is over. Where it was let go meanwhile, nothing is written. */
static int
end_wait(Select *self, PyObject *object)
{
    Fields *state = (Fields *)object;
    double now = read_clock(self->clock);
    if (isnan(now) && PyErr_Occurred()) {
        return -1;
    }
    int here = LOAD_POINTER(&self->state) == object
                   ? is_plain((PyObject *)self, &self->plain, object, self->module)
                   : 0;
    if (here < 0) {
        return -1;
    }
    if (here) {
        begin_turn(state, now);
        store_seconds(&state->idle, load_seconds(&state->idle) + now);
        store_seconds(&state->mark, now);
    }
    PyObject *asleep = PyObject_GetAttr(self->alarm, self->module->asleep_name);
    if (asleep == NULL) {
        return -1;
    }
    int sleeps = PyObject_IsTrue(asleep);
    Py_DECREF(asleep);
    if (sleeps > 0) {
        PyObject *answer = PyObject_CallMethodNoArgs(self->alarm, self->module->wake_name);
        Py_XDECREF(answer);
        sleeps = answer == NULL ? -1 : 0;
    }
    return sleeps;
}

static PyObject *
poll_and_wait(Select *self, PyObject *object, PyObject *timeout)
{
    Fields *state = (Fields *)object;
    /* First: what only it keeps alive ends within the turn, not within the poll. */
    Py_INCREF(Py_None);
    put_in(object, &state->handle, Py_None);
    double entry = read_clock(self->clock);
    if (isnan(entry) && PyErr_Occurred()) {
        return NULL;
    }
    int asked = end_turn(self, object, entry);
    if (asked < 0) {
        return NULL;
    }
    begin_turn(state, entry);
    if (asked) {
        store_seconds(&state->mark, entry);
        PyObject *events = poll_and_count(self, object, self->module->zero);
        int any = events == NULL ? -1 : PyObject_IsTrue(events);
        if (any != 0) {
            if (any < 0) {
                Py_CLEAR(events);
            }
            return events;
        }
        Py_DECREF(events);
        store_seconds(&state->turn, entry);
    }
    store_seconds(&state->idle, load_seconds(&state->idle) - entry);
    store_seconds(&state->mark, Py_HUGE_VAL);
    PyObject *events = poll(self, timeout);
    if (events != NULL) {
        if (end_wait(self, object) < 0) {
            Py_CLEAR(events);
        }
        return events;
    }
    Leaving leaving;
    begin_finally(&leaving);
    end_finally(&leaving, end_wait(self, object) < 0);
    return NULL;
}

/* Whether a poll with this timeout does not wait. */
static inline int
is_zero(PyObject *timeout, Module *module)
{
    if (timeout == Py_None) {
        return 0;
    }
    if (PyFloat_CheckExact(timeout)) {
        return PyFloat_AS_DOUBLE(timeout) == 0.0;
    }
    if (timeout == module->zero) {
        return 1;
    }
    return PyObject_RichCompareBool(timeout, module->zero, Py_EQ);
}

static int
timeout_in(PyObject *const *args, size_t flags, PyObject *names, PyObject **timeout)
{
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    Py_ssize_t named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    *timeout = Py_None;
    if (count + named == 0) {
        return 0;
    }
    if (count + named == 1
        && (named == 0 || PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "timeout") == 0)) {
        *timeout = args[0];
        return 0;
    }
    PyErr_SetString(PyExc_TypeError, "select() takes one argument at most, the timeout");
    return -1;
}

static PyObject *
select_vectorcall(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    Select *self = (Select *)object;
    PyObject *timeout;
    if (timeout_in(args, flags, names, &timeout) < 0) {
        return NULL;
    }
    if (self->inner == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the garbage collector has taken apart what is to be timed");
        return NULL;
    }
    PyObject *state = held_in(object, &self->state);
    if (state == NULL) {
        return poll(self, timeout);
    }
    PyObject *events;
    int zero = is_zero(timeout, self->module);
    int here = zero < 0 ? -1 : is_plain(object, &self->plain, state, self->module);
    if (here < 0) {
        events = NULL;
    }
    else if (!here) {
        events = PyObject_CallOneArg(self->reference, timeout);
    }
    else if (zero) {
        events = poll_at_once(self, state, timeout);
    }
    else {
        events = poll_and_wait(self, state, timeout);
    }
    Py_DECREF(state);
    return events;
}

static PyObject *
select_let_go(Select *self, PyObject *Py_UNUSED(nothing))
{
    put_in((PyObject *)self, &self->state, NULL);
    PyObject *answer = PyObject_CallMethodNoArgs(self->reference, self->module->let_go_name);
    Py_XDECREF(answer);
    if (answer == NULL) {
        return NULL;
    }
    Py_RETURN_NONE;
}

static PyMethodDef select_methods[] = {
    {"let_go", (PyCFunction)select_let_go, METH_NOARGS, "Write into the void from here on."},
    {NULL},
};

static PyMemberDef select_members[] = {
    {"__dictoffset__", T_PYSSIZET, offsetof(Select, dict), READONLY},
    {"__weaklistoffset__", T_PYSSIZET, offsetof(Select, weak), READONLY},
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Select, vectorcall), READONLY},
    {NULL},
};

static PyGetSetDef select_getset[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict},
    {NULL},
};

static PyType_Slot select_slots[] = {
    {Py_tp_doc, "A replacement for a selector's select that bounds the turns of its loop."},
    {Py_tp_dealloc, select_dealloc},
    {Py_tp_traverse, select_traverse},
    {Py_tp_clear, select_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_methods, select_methods},
    {Py_tp_members, select_members},
    {Py_tp_getset, select_getset},
    {0, NULL},
};

static PyType_Spec select_spec = {
    .name = "loopwatch.observe._steps_c.Select",
    .basicsize = sizeof(Select),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = select_slots,
};

static PyObject *
make_select(PyObject *owner, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"state", "inner", "reference", "alarm", "clock", "quick", "types", NULL};
    PyObject *state, *inner, *reference, *alarm, *clock, *types;
    double quick;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOOdO:make_select", names, &state, &inner, &reference, &alarm,
                                     &clock, &quick, &types)) {
        return NULL;
    }
    PyTypeObject *selector_type = NULL, *epoll_type = NULL;
    if (types != Py_None) {
        if (!PyArg_ParseTuple(types, "O!O!", &PyType_Type, &selector_type, &PyType_Type, &epoll_type)) {
            return NULL;
        }
        if (!Py_IS_TYPE(inner, &PyMethod_Type)) {
            PyErr_SetString(PyExc_TypeError, "only a bound method of a selector can be done without");
            return NULL;
        }
    }
    Module *module = PyModule_GetState(owner);
    Select *select = (Select *)module->select_type->tp_alloc(module->select_type, 0);
    if (select == NULL) {
        return NULL;
    }
    select->vectorcall = select_vectorcall;
    select->module = module;
    select->owner = kept(owner);
    select->state = kept(state);
    select->inner = kept(inner);
    select->reference = kept(reference);
    select->alarm = kept(alarm);
    select->clock = clock == Py_None ? NULL : kept(clock);
    select->quick = quick;
    if (types != Py_None) {
        Py_INCREF(selector_type);
        select->selector_type = selector_type;
        Py_INCREF(epoll_type);
        select->epoll_type = epoll_type;
    }
    return (PyObject *)select;
}

/* --- making the module --------------------------------------------------------------------------------- */

static PyObject *
monotonic(PyObject *Py_UNUSED(owner), PyObject *Py_UNUSED(nothing))
{
    return PyFloat_FromDouble(own_clock());
}

static PyMethodDef functions[] = {
    {"make_run", (PyCFunction)(void (*)(void))make_run, METH_VARARGS | METH_KEYWORDS, NULL},
    {"make_select", (PyCFunction)(void (*)(void))make_select, METH_VARARGS | METH_KEYWORDS, NULL},
    {"monotonic", monotonic, METH_NOARGS, "The clock that is read where none is given, in seconds."},
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
        PyErr_SetString(PyExc_ImportError, "_steps_c serves the main interpreter only");
        return -1;
    }
    struct {
        PyObject **place;
        const char *name;
    } names[] = {
        {&module->loop_name, "_loop"},     {&module->stopwatch_name, "_loopwatch"},
        {&module->asleep_name, "asleep"},  {&module->wake_name, "wake"},
        {&module->counted_name, "counted"}, {&module->slow_turn_name, "slow_turn"},
        {&module->let_go_name, "let_go"},  {&module->selector_name, "_selector"},
        {&module->poll_name, "poll"},      {&module->keys_name, "_fd_to_key"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        *names[i].place = PyUnicode_InternFromString(names[i].name);
        if (*names[i].place == NULL) {
            return -1;
        }
    }
    if ((module->zero = PyLong_FromLong(0)) == NULL || (module->fields_type = new_type(owner, &fields_spec)) == NULL
        || (module->run_type = new_type(owner, &run_spec)) == NULL
        || (module->select_type = new_type(owner, &select_spec)) == NULL
        || (module->replay_type = new_type(owner, &replay_spec)) == NULL
        || (module->answered_type = new_type(owner, &answered_spec)) == NULL) {
        return -1;
    }
    PyObject *guard = PyImport_ImportModule("loopwatch.observe.guard");
    module->theirs = guard == NULL ? NULL : PyObject_GetAttrString(guard, "theirs");
    Py_XDECREF(guard);
    if (module->theirs == NULL) {
        return -1;
    }
    return PyModule_AddType(owner, module->fields_type);
}

static int
module_traverse(PyObject *owner, visitproc visit, void *arg)
{
    Module *module = PyModule_GetState(owner);
    Py_VISIT(module->fields_type);
    Py_VISIT(module->run_type);
    Py_VISIT(module->select_type);
    Py_VISIT(module->replay_type);
    Py_VISIT(module->answered_type);
    Py_VISIT(module->theirs);
    return 0;
}

static void
module_free(void *object)
{
    Module *module = PyModule_GetState((PyObject *)object);
    Py_CLEAR(module->fields_type);
    Py_CLEAR(module->run_type);
    Py_CLEAR(module->select_type);
    Py_CLEAR(module->replay_type);
    Py_CLEAR(module->answered_type);
    Py_CLEAR(module->selector_name);
    Py_CLEAR(module->keys_name);
    Py_CLEAR(module->poll_name);
    Py_CLEAR(module->loop_name);
    Py_CLEAR(module->stopwatch_name);
    Py_CLEAR(module->asleep_name);
    Py_CLEAR(module->wake_name);
    Py_CLEAR(module->slow_turn_name);
    Py_CLEAR(module->counted_name);
    Py_CLEAR(module->let_go_name);
    Py_CLEAR(module->zero);
    Py_CLEAR(module->theirs);
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
    .m_name = "_steps_c",
    .m_doc = "The stopwatch in C; see _steps_py.py for what it does and why.",
    .m_size = sizeof(Module),
    .m_methods = functions,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__steps_c(void)
{
    return PyModuleDef_Init(&definition);
}
