/* What dictionaries offer to all versions. */

#ifndef LOOPWATCH_DICTS_H
#define LOOPWATCH_DICTS_H

#include "interpreter.h"

/* A new reference to what a dictionary has for a key; NULL, with or without an exception set. */
static inline PyObject *
found_in(PyObject *dict, PyObject *key)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyObject *found = NULL;
    (void)PyDict_GetItemRef(dict, key, &found);
    return found;
#else
    PyObject *found = PyDict_GetItemWithError(dict, key);
    Py_XINCREF(found);
    return found;
#endif
}

/* Take a key out of a dictionary: 1 where it was there, 0 where not, -1 with an exception set. */
static inline int
take_out(PyObject *dict, PyObject *key)
{
#if PY_VERSION_HEX >= 0x030D0000
    return PyDict_Pop(dict, key, NULL);
#else
    if (PyDict_DelItem(dict, key) == 0) {
        return 1;
    }
    if (!PyErr_ExceptionMatches(PyExc_KeyError)) {
        return -1;
    }
    PyErr_Clear();
    return 0;
#endif
}

#endif
