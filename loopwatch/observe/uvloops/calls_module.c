/* Making the module. */

#include "extension.h"
#include "calls.h"

static PyMethodDef functions[] = {
    {"make_schedule", (PyCFunction)(void (*)(void))make_schedule, METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL},
};

static int
module_exec(PyObject *owner)
{
    Module *module = PyModule_GetState(owner);
    if (refuse_other_interpreters("_calls_c") < 0) {
        return -1;
    }
    if ((module->calls_type = new_type(owner, &calls_spec)) == NULL
        || (module->call_type = new_type(owner, &call_spec)) == NULL
        || (module->schedule_type = new_type(owner, &schedule_spec)) == NULL) {
        return -1;
    }
    return PyModule_AddType(owner, module->calls_type) < 0 ? -1 : PyModule_AddType(owner, module->call_type);
}

static int
module_traverse(PyObject *owner, visitproc visit, void *arg)
{
    Module *module = PyModule_GetState(owner);
    Py_VISIT(module->calls_type);
    Py_VISIT(module->call_type);
    Py_VISIT(module->schedule_type);
#ifndef Py_GIL_DISABLED
    for (int i = 0; i < module->kept; i++) {
        Py_VISIT(Py_TYPE(module->free[i]));
    }
#endif
    return 0;
}

static void
module_free(void *object)
{
    Module *module = PyModule_GetState((PyObject *)object);
#ifndef Py_GIL_DISABLED
    while (module->kept > 0) {
        PyObject *call = module->free[--module->kept];
        PyTypeObject *type = Py_TYPE(call);
        PyObject_GC_Del(call);
        Py_DECREF(type);
    }
#endif
    Py_CLEAR(module->calls_type);
    Py_CLEAR(module->call_type);
    Py_CLEAR(module->schedule_type);
}

static PyModuleDef_Slot module_slots[] = EXTENSION_SLOTS(module_exec);

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_calls_c",
    .m_doc = "Times the callbacks of uvloop's loops in C; see _calls_py.py for what it does and why.",
    .m_size = sizeof(Module),
    .m_methods = functions,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__calls_c(void)
{
    return PyModuleDef_Init(&definition);
}
