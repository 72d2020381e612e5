/* The type of a stopwatch's fields: each is read and set from Python as an attribute. */

#include "fields.h"

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

PyGetSetDef fields_getset[] = {
    FIELD(mark, seconds),
    FIELD(turn, seconds),
    FIELD(idle, seconds),
    FIELD(slow_from, seconds),
    FIELD(quick, count),
    FIELD(quick_before, count),
    FIELD(quick_turns, count),
    FIELD(brief, count),
    FIELD(brief_turns, count),
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

PyType_Spec fields_spec = {
    .name = "loopwatch.observe.stopwatch._steps_c.Fields",
    .basicsize = sizeof(Fields),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = fields_slots,
};
