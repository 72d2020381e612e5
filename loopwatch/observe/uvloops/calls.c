/* What is known of the timed calls of one loop. */

#include "calls.h"

static PyObject *
calls_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"loop", "settle", "clock", "bound", "slow_from", NULL};
    PyObject *loop, *settle, *clock;
    double bound, slow_from;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOdd:Calls", names, &loop, &settle, &clock, &bound, &slow_from)) {
        return NULL;
    }
    Calls *self = (Calls *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->loop = loop;
        self->began.seconds = Py_HUGE_VAL;
        self->settle = kept(settle);
        self->clock = clock == Py_None ? NULL : kept(clock);
        self->bound = bound;
        self->slow_from = slow_from;
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

static PyObject *
calls_let_go(Calls *self, PyObject *Py_UNUSED(nothing))
{
    STORE_POINTER(&self->loop, NULL);
    Py_RETURN_NONE;
}

static PyObject *
get_running(Calls *self, void *Py_UNUSED(closure))
{
    PyObject *found = held_in((PyObject *)self, &self->running);
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
    COUNT(brief),
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

PyType_Spec calls_spec = {
    .name = "loopwatch.observe.uvloops._calls_c.Calls",
    .basicsize = sizeof(Calls),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = calls_slots,
};
