/* The values of fields: see values.h. */

#include "values.h"
#include "jobs.h"

#include <math.h>

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

PyObject *
get_object(PyObject *self, void *closure)
{
    PyObject *found = held_in(self, PLACE(PyObject *, self, closure));
    if (found == NULL) {
        Py_RETURN_NONE;
    }
    return found;
}

int
set_object(PyObject *self, PyObject *value, void *closure)
{
    if (cannot_be_deleted(value)) {
        return -1;
    }
    put_in(self, PLACE(PyObject *, self, closure), kept(value));
    return 0;
}

PyObject *
get_dict(PyObject *self, void *closure)
{
    return get_object(self, closure);
}

int
set_dict(PyObject *self, PyObject *value, void *closure)
{
    if (value != NULL && !PyDict_Check(value)) {
        PyErr_SetString(PyExc_TypeError, "a dictionary is needed");
        return -1;
    }
    return set_object(self, value, closure);
}

PyObject *
get_seconds(PyObject *self, void *closure)
{
    return PyFloat_FromDouble(load_seconds(PLACE(Seconds, self, closure)));
}

int
set_seconds(PyObject *self, PyObject *value, void *closure)
{
    if (cannot_be_deleted(value)) {
        return -1;
    }
    double number = PyFloat_AsDouble(value);
    if (number == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    store_seconds(PLACE(Seconds, self, closure), number);
    return 0;
}

PyObject *
get_known(PyObject *self, void *closure)
{
    double number = load_seconds(PLACE(Seconds, self, closure));
    if (isnan(number)) {
        Py_RETURN_NONE;
    }
    return PyFloat_FromDouble(number);
}

int
set_known(PyObject *self, PyObject *value, void *closure)
{
    if (value == Py_None) {
        store_seconds(PLACE(Seconds, self, closure), NAN);
        return 0;
    }
    return set_seconds(self, value, closure);
}

PyObject *
get_outcome(PyObject *self, void *closure)
{
    PyObject *found = get_object(self, closure);
    if (found == Py_None) {
        Py_DECREF(found);
        return PyUnicode_FromString("");
    }
    return found;
}

int
set_outcome(PyObject *self, PyObject *value, void *closure)
{
    return set_object(self, value, closure);
}

PyObject *
get_shares(PyObject *self, void *closure)
{
    PyObject *found = get_object(self, closure);
    if (found == Py_None) {
        Py_DECREF(found);
        return PyTuple_New(0);
    }
    return found;
}

int
set_shares(PyObject *self, PyObject *value, void *closure)
{
    return set_object(self, value, closure);
}

PyObject *
get_ident(PyObject *self, void *closure)
{
    return PyLong_FromUnsignedLongLong(*PLACE(uint64_t, self, closure));
}

int
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

PyObject *
get_flag(PyObject *self, void *closure)
{
    return PyBool_FromLong(LOAD_SIGN(PLACE(char, self, closure)));
}

int
set_flag(PyObject *self, PyObject *value, void *closure)
{
    if (cannot_be_deleted(value)) {
        return -1;
    }
    int flag = PyObject_IsTrue(value);
    if (flag < 0) {
        return -1;
    }
    STORE_SIGN(PLACE(char, self, closure), (char)flag);
    return 0;
}
