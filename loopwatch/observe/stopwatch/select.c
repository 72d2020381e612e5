/* The object that stands in the `select` of a selector: how it is made, what else it answers to, how it ends. */

#include "select.h"

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

PyType_Spec select_spec = {
    .name = "loopwatch.observe.stopwatch._steps_c.Select",
    .basicsize = sizeof(Select),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = select_slots,
};

PyObject *
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
