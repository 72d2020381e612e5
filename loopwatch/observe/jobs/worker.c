#include "worker.h"
#include "dicts.h"

/* Where it stays the same, it is kept among what is the thread's own, where it is found sooner. */
PyObject *
worker_here(Module *module)
{
    PyObject *here = module->of_threads == Py_True ? PyThreadState_GetDict() : NULL;
    PyObject *worker = here != NULL ? found_in(here, module->here) : NULL;
    if (worker != NULL || PyErr_Occurred()) {
        return worker;
    }
    worker = PyObject_GetAttr(module->here, module->worker_name);
    if (worker != NULL && here != NULL && PyDict_SetItem(here, module->here, worker) < 0) {
        Py_CLEAR(worker);
    }
    return worker;
}

/* Whether what is known of a worker was ever asked for in this thread: otherwise it runs no job. */
#ifdef _MSC_VER
static __declspec(thread) int is_known;
#else
static __thread int is_known;
#endif

PyObject *
note_worker(PyObject *Py_UNUSED(owner), PyObject *Py_UNUSED(nothing))
{
    is_known = 1;
    Py_RETURN_NONE;
}

PyObject *
outer_job(Module *module)
{
    if (!is_known) {
        Py_RETURN_NONE;
    }
    PyObject *worker = worker_here(module);
    if (worker == NULL) {
        return NULL;
    }
    PyObject *outer = PyObject_GetAttr(worker, module->job_name);
    Py_DECREF(worker);
    return outer;
}
