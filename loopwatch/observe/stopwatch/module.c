/* The module `_steps_c`: what it offers to accelerated.py. */

#include "extension.h"
#include "module.h"

#include "answered.h"
#include "clock.h"
#include "fields.h"
#include "replay.h"
#include "run.h"
#include "select.h"

static PyObject *
monotonic(PyObject *Py_UNUSED(owner), PyObject *Py_UNUSED(nothing))
{
    return PyFloat_FromDouble(own_clock());
}

static PyMethodDef functions[] = {
    {"make_run", (PyCFunction)(void (*)(void))make_run, METH_VARARGS | METH_KEYWORDS, NULL},
    {"make_select", (PyCFunction)(void (*)(void))make_select, METH_VARARGS | METH_KEYWORDS, NULL},
    {"monotonic", monotonic, METH_NOARGS, "The clock that is read where none is given, in seconds."},
    {NULL},
};

static int
module_exec(PyObject *owner)
{
    Module *module = PyModule_GetState(owner);
    if (refuse_other_interpreters("_steps_c") < 0) {
        return -1;
    }
    const Name names[] = {
        {&module->loop_name, "_loop"},      {&module->stopwatch_name, "_loopwatch"},
        {&module->asleep_name, "asleep"},   {&module->wake_name, "wake"},
        {&module->counted_name, "counted"}, {&module->slow_turn_name, "slow_turn"},
        {&module->let_go_name, "let_go"},   {&module->selector_name, "_selector"},
        {&module->poll_name, "poll"},       {&module->keys_name, "_fd_to_key"},
    };
    if (know_names(names, sizeof(names) / sizeof(names[0])) < 0 || (module->zero = PyLong_FromLong(0)) == NULL
        || (module->fields_type = new_type(owner, &fields_spec)) == NULL
        || (module->run_type = new_type(owner, &run_spec)) == NULL
        || (module->select_type = new_type(owner, &select_spec)) == NULL
        || (module->replay_type = new_type(owner, &replay_spec)) == NULL
        || (module->answered_type = new_type(owner, &answered_spec)) == NULL) {
        return -1;
    }
    PyObject *guard = PyImport_ImportModule("loopwatch.observe.guard");
    module->theirs = guard == NULL ? NULL : PyObject_GetAttrString(guard, "theirs");
    Py_XDECREF(guard);
    if (module->theirs == NULL) {
        return -1;
    }
    return PyModule_AddType(owner, module->fields_type);
}

static int
module_traverse(PyObject *owner, visitproc visit, void *arg)
{
    Module *module = PyModule_GetState(owner);
    Py_VISIT(module->fields_type);
    Py_VISIT(module->run_type);
    Py_VISIT(module->select_type);
    Py_VISIT(module->replay_type);
    Py_VISIT(module->answered_type);
    Py_VISIT(module->theirs);
    return 0;
}

static void
module_free(void *object)
{
    Module *module = PyModule_GetState((PyObject *)object);
    Py_CLEAR(module->fields_type);
    Py_CLEAR(module->run_type);
    Py_CLEAR(module->select_type);
    Py_CLEAR(module->replay_type);
    Py_CLEAR(module->answered_type);
    Py_CLEAR(module->selector_name);
    Py_CLEAR(module->keys_name);
    Py_CLEAR(module->poll_name);
    Py_CLEAR(module->loop_name);
    Py_CLEAR(module->stopwatch_name);
    Py_CLEAR(module->asleep_name);
    Py_CLEAR(module->wake_name);
    Py_CLEAR(module->slow_turn_name);
    Py_CLEAR(module->counted_name);
    Py_CLEAR(module->let_go_name);
    Py_CLEAR(module->zero);
    Py_CLEAR(module->theirs);
}

static PyModuleDef_Slot module_slots[] = EXTENSION_SLOTS(module_exec);

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_steps_c",
    .m_doc = "The stopwatch in C; see _steps_py.py for what it does and why.",
    .m_size = sizeof(Module),
    .m_methods = functions,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__steps_c(void)
{
    return PyModuleDef_Init(&definition);
}
