/* What tells of one loop whether it waits on. */

#include "rest.h"

#include <math.h>

static PyObject *
gauge_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"counter", "most", NULL};
    PyObject *counter;
    double most;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!d:Gauge", names, &PyLong_Type, &counter, &most)) {
        return NULL;
    }
    void *count = PyLong_AsVoidPtr(counter);
    if (PyErr_Occurred()) {
        return NULL;
    }
    Gauge *self = (Gauge *)type->tp_alloc(type, 0);
    if (self == NULL) {
        return NULL;
    }
    self->count = (Counter)count;
    self->most = most;
    self->lock = PyThread_allocate_lock();
    if (self->lock == NULL) {
        Py_DECREF(self);
        return PyErr_NoMemory();
    }
    return (PyObject *)self;
}

static int
gauge_traverse(Gauge *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->owner);
    Py_VISIT(self->is_closed);
    return 0;
}

/* From here on it asks for nothing, or for what is given; the references are taken over. */
static void
point(Gauge *self, PyObject *owner, PyObject *is_closed, const void *loop, double at, double idle)
{
    PyThread_acquire_lock(self->lock, WAIT_LOCK);
    PyObject *before = self->owner, *asked_before = self->is_closed;
    self->owner = owner;
    self->is_closed = is_closed;
    self->loop = loop;
    self->at = at;
    self->idle = idle;
    PyThread_release_lock(self->lock);
    Py_XDECREF(asked_before);
    Py_XDECREF(before);
}

void
take_back(Gauge *self)
{
    point(self, NULL, NULL, NULL, 0.0, 0.0);
}

static int
gauge_clear(Gauge *self)
{
    if (self->lock != NULL) {
        take_back(self);
    }
    return 0;
}

static void
gauge_dealloc(Gauge *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)gauge_clear(self);
    if (self->lock != NULL) {
        PyThread_free_lock(self->lock);
    }
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
gauge_set(Gauge *self, PyObject *args)
{
    PyObject *owner, *address, *is_closed = Py_None;
    double at, idle;
    if (!PyArg_ParseTuple(args, "OO!dd|O:set", &owner, &PyLong_Type, &address, &at, &idle, &is_closed)) {
        return NULL;
    }
    void *loop = PyLong_AsVoidPtr(address);
    if (PyErr_Occurred()) {
        return NULL;
    }
    Py_INCREF(owner);
    point(self, owner, is_closed == Py_None ? NULL : Py_NewRef(is_closed), loop, at, idle);
    Py_RETURN_NONE;
}

static PyObject *
gauge_take_back(Gauge *self, PyObject *Py_UNUSED(nothing))
{
    take_back(self);
    Py_RETURN_NONE;
}

int
waits_on(Gauge *self, double now, int asked)
{
    int waits = 0;
    PyThread_acquire_lock(self->lock, WAIT_LOCK);
    if (self->loop != NULL && self->count != NULL && (asked || self->is_closed == NULL)) {
        double idle = (double)self->count(self->loop) * 1e-9;
        waits = fabs(now - self->at - (idle - self->idle)) <= self->most;
    }
    PyThread_release_lock(self->lock);
    return waits;
}

int
is_open(Gauge *self)
{
    PyObject *asked = self->is_closed;
    if (asked == NULL) {
        return 1;
    }
    Py_INCREF(asked); /* what is called may take it back */
    PyObject *closed = PyObject_CallNoArgs(asked);
    if (closed == NULL) { /* the look that follows asks again, and tells of what it gets */
        PyErr_Clear();
    }
    int open = closed == Py_False;
    Py_XDECREF(closed);
    Py_DECREF(asked);
    return open;
}

static PyMethodDef gauge_methods[] = {
    {"set", (PyCFunction)gauge_set, METH_VARARGS, NULL},
    {"take_back", (PyCFunction)gauge_take_back, METH_NOARGS, NULL},
    {NULL},
};

static PyType_Slot gauge_slots[] = {
    {Py_tp_doc, "Tells of one loop whether it waits on; see _rest_c.pyi."},
    {Py_tp_new, gauge_new},
    {Py_tp_dealloc, gauge_dealloc},
    {Py_tp_traverse, gauge_traverse},
    {Py_tp_clear, gauge_clear},
    {Py_tp_methods, gauge_methods},
    {0, NULL},
};

PyType_Spec gauge_spec = {
    .name = "loopwatch.observe.resting._rest_c.Gauge",
    .basicsize = sizeof(Gauge),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = gauge_slots,
};
