/* The object that stands in `asyncio.Handle._run`: how it is made, what else it answers to, how it ends. */

#include "run.h"

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
    for (int i = 0; i < self->slots.types; i++) {
        Py_VISIT(self->slots.type[i]);
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
    for (int i = 0; i < self->slots.types; i++) {
        Py_CLEAR(self->slots.type[i]);
    }
    plain_clear(&self->plain);
    Py_CLEAR(self->owner);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
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

PyType_Spec run_spec = {
    .name = "loopwatch.observe.stopwatch._steps_c.Run",
    .basicsize = sizeof(Run),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_METHOD_DESCRIPTOR
             | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = run_slots,
};

PyObject *
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
        if (know_slots(&run->slots, slots, types) < 0) {
            Py_DECREF(run);
            return NULL;
        }
        run->direct = direct;
    }
    return (PyObject *)run;
}
