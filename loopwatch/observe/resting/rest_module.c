/* Making the module. */

#include "extension.h"
#include "rest.h"

static int
module_exec(PyObject *owner)
{
    Module *module = PyModule_GetState(owner);
    if (refuse_other_interpreters("_rest_c") < 0) {
        return -1;
    }
    if ((module->bell_type = new_type(owner, &bell_spec)) == NULL
        || (module->gauge_type = new_type(owner, &gauge_spec)) == NULL
        || PyModule_AddType(owner, module->bell_type) < 0) {
        return -1;
    }
    return HAS_GAUGES ? PyModule_AddType(owner, module->gauge_type) : 0;
}

static int
module_traverse(PyObject *owner, visitproc visit, void *arg)
{
    Module *module = PyModule_GetState(owner);
    Py_VISIT(module->bell_type);
    Py_VISIT(module->gauge_type);
    return 0;
}

static int
module_clear(PyObject *owner)
{
    Module *module = PyModule_GetState(owner);
    Py_CLEAR(module->bell_type);
    Py_CLEAR(module->gauge_type);
    return 0;
}

static void
module_free(void *object)
{
    (void)module_clear((PyObject *)object);
}

static PyModuleDef_Slot module_slots[] = EXTENSION_SLOTS(module_exec);

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_rest_c",
    .m_doc = "The sampler's sleep in C; see _rest_c.pyi.",
    .m_size = sizeof(Module),
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__rest_c(void)
{
    return PyModuleDef_Init(&definition);
}
