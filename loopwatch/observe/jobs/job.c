/* The fields of a job. */

#include "jobs.h"
#include "values.h"

#include <math.h>

Job *
new_fields(PyTypeObject *type, Module *module)
{
    Job *self = (Job *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->module = module;
        self->started.seconds = self->ended.seconds = self->cpu.seconds = NAN;
    }
    return self;
}

static PyObject *
new_job(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    /* A class that is made from ours in Python knows no module. */
    for (PyTypeObject *each = type; PyType_HasFeature(each, Py_TPFLAGS_HEAPTYPE); each = each->tp_base) {
        PyObject *owner = ((PyHeapTypeObject *)each)->ht_module;
        if (owner != NULL) {
            return (PyObject *)new_fields(type, PyModule_GetState(owner));
        }
    }
    PyErr_SetString(PyExc_RuntimeError, "the garbage collector has taken apart what jobs are made of");
    return NULL;
}

static int
job_traverse(Job *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->pool);
    Py_VISIT(self->function);
    Py_VISIT(self->lane);
    Py_VISIT(self->finished);
    Py_VISIT(self->task);
    Py_VISIT(self->worker);
    Py_VISIT(self->glances);
    Py_VISIT(self->held_by);
    Py_VISIT(self->span);
    return 0;
}

static int
job_clear(Job *self)
{
    Py_CLEAR(self->pool);
    Py_CLEAR(self->function);
    Py_CLEAR(self->lane);
    Py_CLEAR(self->finished);
    Py_CLEAR(self->task);
    Py_CLEAR(self->worker);
    Py_CLEAR(self->glances);
    Py_CLEAR(self->congested);
    Py_CLEAR(self->outcome);
    Py_CLEAR(self->held_by);
    Py_CLEAR(self->span);
    return 0;
}

static void
job_dealloc(Job *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)job_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

int
settle_error(PyObject *self, Module *module)
{
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    PyErr_NormalizeException(&kind, &error, &trace);
    if (trace != NULL) {
        PyException_SetTraceback(error, trace);
    }
    PyObject *goes_on = PyObject_CallMethodOneArg(self, module->fault_name, error);
    if (goes_on == NULL) {
        Py_XDECREF(kind);
        Py_XDECREF(error);
        Py_XDECREF(trace);
        return -1;
    }
    int result = goes_on == Py_True ? -1 : 0;
    Py_DECREF(goes_on);
    if (result < 0) {
        PyErr_Restore(kind, error, trace);
        return -1;
    }
    Py_XDECREF(kind);
    Py_XDECREF(error);
    Py_XDECREF(trace);
    return 0;
}

static PyGetSetDef job_getset[] = {
    FIELD(Job, pool, object),       FIELD(Job, function, object), FIELD(Job, lane, object),
    FIELD(Job, finished, object),   FIELD(Job, task, object),     FIELD(Job, worker, object),
    FIELD(Job, glances, object),    FIELD(Job, congested, object), FIELD(Job, outcome, outcome),
    FIELD(Job, held_by, shares),    FIELD(Job, submitted, seconds), FIELD(Job, started, known),
    FIELD(Job, ended, known),       FIELD(Job, cpu, known),       FIELD(Job, glanced, seconds),
    FIELD(Job, after, seconds),     FIELD(Job, busy, seconds),    FIELD(Job, submitter, ident),
    FIELD(Job, for_loop, flag),     FIELD(Job, abandoned, flag),  FIELD(Job, queued, flag),
    FIELD(Job, span, object),       FIELD(Job, asked, flag),
    {NULL},
};

static PyMethodDef job_methods[] = {
    {"begin", (PyCFunction)job_begin, METH_NOARGS, "See Job.begin in jobs.py."},
    {"finish", (PyCFunction)job_finish, METH_O, "See Job.finish in jobs.py."},
    {"attach", (PyCFunction)job_attach, METH_O, "See Job.attach in jobs.py."},
    {NULL},
};

static PyType_Slot job_slots[] = {
    {Py_tp_doc, "The fields of a job, and what most jobs do."},
    {Py_tp_new, new_job},
    {Py_tp_dealloc, job_dealloc},
    {Py_tp_traverse, job_traverse},
    {Py_tp_clear, job_clear},
    {Py_tp_call, job_call},
    {Py_tp_methods, job_methods},
    {Py_tp_getset, job_getset},
    {0, NULL},
};

PyType_Spec job_spec = {
    .name = "loopwatch.observe.jobs._jobs_c.JobFields",
    .basicsize = sizeof(Job),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = job_slots,
};
