/* The fields of a lane, where the brief jobs are added up. */

#include "jobs.h"
#include "values.h"

#include <string.h>

void
set_open(Lane *self, char open)
{
    Py_BEGIN_CRITICAL_SECTION(self);
    self->open = open;
    Py_END_CRITICAL_SECTION();
}

int
add_to_lane(Job *job, Lane *lane, double now, int failed)
{
    double submitted = load_seconds(&job->submitted), started = load_seconds(&job->started);
    int added = 0;
    if (!(now - submitted < load_seconds(&lane->brief)) || LOAD_SIGN(&job->abandoned) || LOAD_POINTER(&job->glances) != NULL
        || LOAD_SIGN(&job->queued)) {
        return 0;
    }
    double wait = started > submitted ? started - submitted : 0.0, run = now > started ? now - started : 0.0;
    double cpu = load_seconds(&job->cpu);
    Py_BEGIN_CRITICAL_SECTION(lane);
    if (lane->open) {
        added = 1;
        lane->sums.jobs++;
        lane->sums.failed += failed;
        lane->sums.loop_jobs += LOAD_SIGN(&job->for_loop);
        lane->sums.wait += wait;
        lane->sums.run += run;
        if (cpu >= 0) {
            lane->sums.cpu += cpu;
            lane->sums.cpu_known += run;
        }
    }
    Py_END_CRITICAL_SECTION();
    return added;
}

static PyObject *
new_lane(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    return type->tp_alloc(type, 0);
}

static int
lane_traverse(Lane *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void
lane_dealloc(Lane *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
lane_take(Lane *self, PyObject *Py_UNUSED(nothing))
{
    Sums taken;
    Py_BEGIN_CRITICAL_SECTION(self);
    taken = self->sums; /* and nothing else of it: the rest is changed without this lock */
    memset(&self->sums, 0, sizeof(Sums));
    self->open = 0;
    Py_END_CRITICAL_SECTION();
    if (taken.jobs == 0) {
        Py_RETURN_NONE;
    }
    return Py_BuildValue("(LLLdddd)", (long long)taken.jobs, (long long)taken.failed, (long long)taken.loop_jobs,
                         taken.wait, taken.run, taken.cpu, taken.cpu_known);
}

static PyMethodDef lane_methods[] = {
    {"take", (PyCFunction)lane_take, METH_NOARGS,
     "The numbers of its brief jobs, which are then forgotten: (jobs, failed, loop_jobs, wait, run, cpu, cpu_known)."},
    {NULL},
};

static PyGetSetDef lane_getset[] = {FIELD(Lane, quick, flag), FIELD(Lane, brief, seconds), {NULL}};

static PyType_Slot lane_slots[] = {
    {Py_tp_doc, "What a job reads of its lane, and where the brief ones are added up."},
    {Py_tp_new, new_lane},
    {Py_tp_dealloc, lane_dealloc},
    {Py_tp_traverse, lane_traverse},
    {Py_tp_methods, lane_methods},
    {Py_tp_getset, lane_getset},
    {0, NULL},
};

PyType_Spec lane_spec = {
    .name = "loopwatch.observe.jobs._jobs_c.LaneFields",
    .basicsize = sizeof(Lane),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = lane_slots,
};
