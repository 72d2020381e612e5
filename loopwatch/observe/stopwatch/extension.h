/* What each of our extension modules does alike: whom it serves, what it promises, and how it makes its types. */

#ifndef LOOPWATCH_EXTENSION_H
#define LOOPWATCH_EXTENSION_H

#include "interpreter.h"

/* The slots of a module whose types are made by `exec`. */
#if PY_VERSION_HEX >= 0x030C0000
#define REFUSES_OTHER_INTERPRETERS {Py_mod_multiple_interpreters, Py_MOD_MULTIPLE_INTERPRETERS_NOT_SUPPORTED},
#else
#define REFUSES_OTHER_INTERPRETERS
#endif
#ifdef Py_GIL_DISABLED
#define NEEDS_NO_LOCK {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#else
#define NEEDS_NO_LOCK
#endif
#define EXTENSION_SLOTS(exec) {{Py_mod_exec, exec}, REFUSES_OTHER_INTERPRETERS NEEDS_NO_LOCK {0, NULL}}

/* Before 3.12 no slot refuses a sub-interpreter. -1 with ImportError set in any but the main one. */
static inline int
refuse_other_interpreters(const char *name)
{
    if (PyInterpreterState_Get() == PyInterpreterState_Main()) {
        return 0;
    }
    PyErr_Format(PyExc_ImportError, "%s serves the main interpreter only", name);
    return -1;
}

/* A string that a module keeps, and where. */
typedef struct {
    PyObject **place;
    const char *text;
} Name;

static inline int
know_names(const Name *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if ((*names[i].place = PyUnicode_InternFromString(names[i].text)) == NULL) {
            return -1;
        }
    }
    return 0;
}

static inline PyTypeObject *
new_type(PyObject *owner, PyType_Spec *spec)
{
    return (PyTypeObject *)PyType_FromModuleAndSpec(owner, spec, NULL);
}

#endif
