/* The methods by which callbacks are scheduled. */

#include "calls.h"

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
    Py_INCREF(found);
    put_in((PyObject *)self, (PyObject **)&self->last, found);
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

/* An awaitable is handed on as it is: asyncio refuses a coroutine and keeps its type, and ours is one for all. */
static inline int
may_be_timed(PyObject *callback)
{
    PyAsyncMethods *async = Py_TYPE(callback)->tp_as_async;
    return Py_TYPE(callback)->tp_call != NULL && (async == NULL || async->am_await == NULL);
}

/* Where the callback stands among all arguments, of which those with names come last; -1 where there is none. */
static inline Py_ssize_t
place_among(Schedule *self, Py_ssize_t count, PyObject *names)
{
    if (count > self->place) {
        return self->place;
    }
    for (Py_ssize_t i = 0; names != NULL && i < PyTuple_GET_SIZE(names); i++) {
        if (PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, i), "callback") == 0) {
            return count + i;
        }
    }
    return -1;
}

#define FEW 8

/* Call what was there before, with `call` in the place of the callback. */
static PyObject *
hand_on(Schedule *self, PyObject *call, Py_ssize_t place, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t all = count + (names == NULL ? 0 : PyTuple_GET_SIZE(names));
    PyObject *few[FEW + 1], **stack = few;
    if (all > FEW && (stack = PyMem_New(PyObject *, (size_t)all + 1)) == NULL) {
        return PyErr_NoMemory();
    }
    for (Py_ssize_t i = 0; i < all; i++) {
        stack[i + 1] = args[i];
    }
    stack[place + 1] = call;
    PyObject *handle =
        call_directly(self->previous, stack + 1, (size_t)count | PY_VECTORCALL_ARGUMENTS_OFFSET, names);
    if (stack != few) {
        PyMem_Free(stack);
    }
    return handle;
}

static PyObject *
schedule_vectorcall(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    Schedule *self = (Schedule *)object;
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    if (self->previous == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the garbage collector has taken apart what is to be called");
        return NULL;
    }
    Py_ssize_t place = count > 0 ? place_among(self, count, names) : -1;
    PyObject *calls = NULL;
    if (place > 0 && may_be_timed(args[place])) {
        calls = calls_of(self, args[0]);
        if (calls == NULL && PyErr_Occurred()) {
            return NULL;
        }
    }
    if (calls == NULL) {
        return call_directly(self->previous, args, flags, names);
    }
    PyObject *call = new_call(self->module, (Calls *)calls, args[place], self->waits);
    if (call == NULL) {
        return NULL;
    }
    PyObject *handle = hand_on(self, call, place, args, count, names);
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

PyType_Spec schedule_spec = {
    .name = "loopwatch.observe.uvloops._calls_c.Schedule",
    .basicsize = sizeof(Schedule),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR
             | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = schedule_slots,
};

PyObject *
make_schedule(PyObject *owner, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"previous", "find", "place", "waits", NULL};
    PyObject *previous, *find;
    Py_ssize_t place;
    int waits;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOnp:make_schedule", names, &previous, &find, &place, &waits)) {
        return NULL;
    }
    if (place < 1) {
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
