/* A worker has done with a job, or nobody will do it. */

#include "dicts.h"
#include "jobs.h"
#include "thread_clock.h"
#include "worker.h"

/* Hand it over to whoever counts; from then on brief ones of its lane may be added to it. They may be before, but never
 * when it is counted already: who counts a job closes its lane and then has what was added. */
static int
hand_over(Job *self, Module *module, Lane *lane)
{
    PyObject *added, *more = NULL;
    int result = -1;
    set_open(lane, 1);
    PyObject *done = PyObject_CallMethodOneArg(self->finished, module->append_name, (PyObject *)self);
    if (done == NULL) {
        set_open(lane, 0);
        return -1;
    }
    Py_DECREF(done);
    added = PyObject_GetAttr(self->finished, module->added_name);
    if (added != NULL) {
        more = PyNumber_Add(added, module->one);
        Py_DECREF(added);
    }
    if (more != NULL) {
        result = PyObject_SetAttr(self->finished, module->added_name, more);
        Py_DECREF(more);
    }
    return result;
}

/* The worker has done with the job: it has none until it takes the next. */
static int
leave_worker(Job *self, Module *module)
{
    PyObject *worker = held_in((PyObject *)self, &self->worker);
    int result = -1;
    if (worker == NULL) {
        PyErr_SetString(PyExc_TypeError, "this job has no worker");
        return -1;
    }
    PyObject *present = PyObject_GetAttr(worker, module->job_name);
    if (present != NULL) {
        result = present == (PyObject *)self ? PyObject_SetAttr(worker, module->job_name, Py_None) : 0;
        Py_DECREF(present);
    }
    double began = load_seconds(&self->cpu);
    if (result == 0 && !isnan(began)) {
        PyObject *here = worker_here(module);
        if (here == NULL) {
            result = -1;
        }
        else {
            store_seconds(&self->cpu, here == worker ? read_thread_cpu(module->thread_cpu) - began : NAN);
            Py_DECREF(here);
        }
    }
    Py_DECREF(worker);
    return result;
}

static int
note_end(Job *self, Module *module, PyObject *future)
{
    Pool *pool;
    Lane *lane;
    double now = read_clock(module->clock);
    if ((isnan(now) && PyErr_Occurred()) || places_of(self, module, &pool, &lane) < 0) {
        return -1;
    }
    int began = take_out(pool->running, (PyObject *)self);
    if (began < 0) {
        return -1;
    }
    if (!began) {
        PyObject *at = PyFloat_FromDouble(now);
        PyObject *done = at == NULL ? NULL
                                    : PyObject_CallMethodObjArgs((PyObject *)self, module->unbegun_name, future, at, NULL);
        Py_XDECREF(at);
        Py_XDECREF(done);
        return done == NULL ? -1 : 0;
    }
    store_seconds(&self->ended, now);
    store_seconds(&pool->last_end, now);
    if (leave_worker(self, module) < 0) {
        return -1;
    }
    PyObject *error = PyObject_GetAttr(future, module->exception_name);
    if (error == NULL) {
        return -1;
    }
    int failed = error != Py_None;
    Py_DECREF(error);
    PyObject *outcome = LOAD_SIGN(&self->abandoned) ? module->abandoned : failed ? module->failed : module->completed;
    put_in((PyObject *)self, &self->outcome, kept(outcome));
    return add_to_lane(self, lane, now, failed) ? 0 : hand_over(self, module, lane);
}

PyObject *
job_finish(Job *self, PyObject *future)
{
    Module *module = self->module;
    if (note_end(self, module, future) < 0 && settle_error((PyObject *)self, module) < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}

/* Whether a future in this state has yet to call its callbacks. */
static int
is_open(PyObject *state)
{
    return PyUnicode_Check(state)
           && (PyUnicode_CompareWithASCIIString(state, "PENDING") == 0
               || PyUnicode_CompareWithASCIIString(state, "RUNNING") == 0);
}

static PyMethodDef finish_method = {"finish", (PyCFunction)job_finish, METH_O, "See Job.finish in jobs.py."};

/* What add_done_callback() does, without its lock, which would cost more than all the rest. */
PyObject *
job_attach(Job *self, PyObject *future)
{
    Module *module = self->module;
    PyObject *callbacks = PyObject_GetAttr(future, module->callbacks_name);
    PyObject *finish = callbacks != NULL ? PyCFunction_New(&finish_method, (PyObject *)self) : NULL;
    int failed = finish == NULL;
    if (!failed && PyList_Check(callbacks)) {
        failed = PyList_Append(callbacks, finish) < 0;
    }
    else if (!failed) {
        PyObject *done = PyObject_CallMethodOneArg(callbacks, module->append_name, finish);
        failed = done == NULL;
        Py_XDECREF(done);
    }
    Py_XDECREF(finish);
    Py_XDECREF(callbacks);
    PyObject *state = failed ? NULL : PyObject_GetAttr(future, module->state_name);
    if (state == NULL) {
        return NULL;
    }
    int open = is_open(state); /* otherwise it may have been too late, or just in time */
    Py_DECREF(state);
    if (!open) {
        return job_finish(self, future);
    }
    Py_RETURN_NONE;
}
