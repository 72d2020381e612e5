/* What is known of handles comes from their member descriptors; see handles.h. */

#include "handles.h"

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

int
know_slots(Slots *slots, PyObject *descriptors, PyObject *types)
{
    if (!PyTuple_Check(descriptors) || PyTuple_GET_SIZE(descriptors) != 4 || !PyTuple_Check(types)
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
    Py_ssize_t *places[4] = {&slots->loop, &slots->context, &slots->callback, &slots->args};
    for (Py_ssize_t i = 0; i < 4; i++) {
        *places[i] = offset_of(PyTuple_GET_ITEM(descriptors, i), handle_type);
        if (*places[i] < 0) {
            return -1;
        }
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(types); i++) {
        Py_INCREF(PyTuple_GET_ITEM(types, i));
        slots->type[slots->types++] = (PyTypeObject *)PyTuple_GET_ITEM(types, i);
    }
    return 0;
}
