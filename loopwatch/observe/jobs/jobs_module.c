/* The module of jobs. */

#include "extension.h"
#include "entry.h"
#include "thread_clock.h"
#include "worker.h"

static void
put(PyObject **place, PyObject *object)
{
    PyObject *before = *place;
    Py_XINCREF(object);
    *place = object;
    Py_XDECREF(before);
}

static PyObject *
configure(PyObject *owner, PyObject *args)
{
    Module *module = PyModule_GetState(owner);
    PyObject *clock, *thread_cpu, *here, *of_threads;
    if (!PyArg_ParseTuple(args, "OOOO!:configure", &clock, &thread_cpu, &here, &PyBool_Type, &of_threads)) {
        return NULL;
    }
    if (!OWN_CLOCKS && (clock == Py_None || thread_cpu == Py_None)) {
        PyErr_SetString(PyExc_ValueError, "there are no clocks of its own on this platform");
        return NULL;
    }
    put(&module->clock, clock == Py_None ? NULL : clock);
    put(&module->thread_cpu, thread_cpu == Py_None ? NULL : thread_cpu);
    put(&module->here, here);
    put(&module->of_threads, of_threads);
    Py_RETURN_NONE;
}

static PyObject *
own_clocks(PyObject *Py_UNUSED(owner), PyObject *Py_UNUSED(nothing))
{
    if (!OWN_CLOCKS) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(dd)", own_clock(), own_thread_cpu());
}

static PyMethodDef functions[] = {
    {"configure", configure, METH_VARARGS, NULL},
    {"make_entry", make_entry, METH_VARARGS, NULL},
    {"note_worker", note_worker, METH_NOARGS, NULL},
    {"own_clocks", own_clocks, METH_NOARGS, NULL},
    {NULL},
};

/* What `module.name` is: a new reference. */
static PyObject *
imported(const char *module, const char *name)
{
    PyObject *found = PyImport_ImportModule(module);
    PyObject *value = found != NULL ? PyObject_GetAttrString(found, name) : NULL;
    Py_XDECREF(found);
    return value;
}

static int
know_own_names(Module *module)
{
    const Name names[] = {
        {&module->worker_name, "worker"},       {&module->job_name, "job"},
        {&module->append_name, "append"},       {&module->added_name, "added"},
        {&module->exception_name, "_exception"}, {&module->state_name, "_state"},
        {&module->callbacks_name, "_done_callbacks"},
        {&module->unbegun_name, "finish_unbegun"}, {&module->fault_name, "note_fault"},
        {&module->meet_name, "meet"},           {&module->func_name, "func"},
        {&module->args_name, "args"},           {&module->lasti_name, "f_lasti"},
        {&module->for_loop_name, "for_loop"},   {&module->completed, "completed"},      {&module->failed, "failed"},
        {&module->abandoned, "abandoned"},
    };
    return know_names(names, sizeof(names) / sizeof(names[0]));
}

static int
module_exec(PyObject *owner)
{
    Module *module = PyModule_GetState(owner);
    if (refuse_other_interpreters("_jobs_c") < 0) {
        return -1;
    }
    if (know_own_names(module) < 0 || (module->one = PyLong_FromLong(1)) == NULL
        || (module->getframe = imported("sys", "_getframe")) == NULL
        || (module->running_loop = imported("asyncio.events", "_get_running_loop")) == NULL
        || (module->partial_type = (PyTypeObject *)imported("functools", "partial")) == NULL
        || (module->job_type = new_type(owner, &job_spec)) == NULL
        || (module->lane_type = new_type(owner, &lane_spec)) == NULL
        || (module->pool_type = new_type(owner, &pool_spec)) == NULL
        || (module->entry_type = new_type(owner, &entry_spec)) == NULL) {
        return -1;
    }
    return PyModule_AddType(owner, module->job_type) < 0 || PyModule_AddType(owner, module->lane_type) < 0
                   || PyModule_AddType(owner, module->pool_type) < 0
               ? -1
               : 0;
}

static int
module_traverse(PyObject *owner, visitproc visit, void *arg)
{
    Module *module = PyModule_GetState(owner);
    Py_VISIT(module->job_type);
    Py_VISIT(module->lane_type);
    Py_VISIT(module->pool_type);
    Py_VISIT(module->entry_type);
    Py_VISIT(module->clock);
    Py_VISIT(module->thread_cpu);
    Py_VISIT(module->here);
    return 0;
}

static void
module_free(void *owner)
{
    Module *module = PyModule_GetState((PyObject *)owner);
    PyObject **place = (PyObject **)module;
    for (size_t i = 0; i < sizeof(Module) / sizeof(PyObject *); i++) { /* there is nothing else in it */
        Py_CLEAR(place[i]);
    }
}

static PyModuleDef_Slot module_slots[] = EXTENSION_SLOTS(module_exec);

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_jobs_c",
    .m_doc = "Jobs in C; see jobs.py for what they are.",
    .m_size = sizeof(Module),
    .m_methods = functions,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_free = module_free,
};

PyMODINIT_FUNC
PyInit__jobs_c(void)
{
    return PyModuleDef_Init(&definition);
}
