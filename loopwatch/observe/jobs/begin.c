/* A worker takes a job. */

#include "dicts.h"
#include "jobs.h"
#include "thread_clock.h"
#include "worker.h"

/* What stood in a place of `owner`, where nothing stands from then on; or NULL. */
static PyObject *
taken_from(PyObject *owner, PyObject **place)
{
    PyObject *before;
    (void)owner;
    Py_BEGIN_CRITICAL_SECTION(owner);
    before = *place;
    STORE_POINTER(place, NULL);
    Py_END_CRITICAL_SECTION();
    return before;
}

static int
note_beginning(Job *self, Module *module)
{
    Pool *pool;
    Lane *lane;
    PyObject *worker = worker_here(module);
    if (worker == NULL) {
        return -1;
    }
    int failed = PyObject_SetAttr(worker, module->job_name, (PyObject *)self) < 0;
    put_in((PyObject *)self, &self->worker, worker);
    if (failed || places_of(self, module, &pool, &lane) < 0) {
        return -1;
    }
    store_seconds(&self->after, load_seconds(&pool->last_end));
    if (PyDict_SetItem(pool->running, (PyObject *)self, Py_None) < 0 || take_out(pool->waiting, (PyObject *)self) < 0) {
        return -1;
    }
    double cpu = LOAD_SIGN(&lane->quick) ? NAN : read_thread_cpu(module->thread_cpu);
    double now = read_clock(module->clock);
    store_seconds(&self->cpu, cpu);
    store_seconds(&self->started, now);
    return PyErr_Occurred() ? -1 : 0;
}

/* A worker takes the job: the function that it stands for. NULL for an exception that is the application's. */
PyObject *
job_begin(Job *self, PyObject *Py_UNUSED(nothing))
{
    Module *module = self->module;
    PyObject *function = taken_from((PyObject *)self, &self->function);
    if (function == NULL) {
        function = Py_None;
        Py_INCREF(function);
    }
    if (note_beginning(self, module) < 0 && settle_error((PyObject *)self, module) < 0) {
        Py_DECREF(function);
        return NULL;
    }
    return function;
}

PyObject *
job_call(Job *self, PyObject *args, PyObject *kwargs)
{
    PyObject *function = job_begin(self, NULL);
    if (function == NULL) {
        return NULL;
    }
    PyObject *result = PyObject_Call(function, args, kwargs);
    Py_DECREF(function);
    return result;
}
