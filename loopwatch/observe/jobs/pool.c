/* The fields of a pool, and the lane of the job before. */

#include "jobs.h"
#include "values.h"

#include <string.h>

PyObject *
same_as_last(Pool *pool, const void *words, size_t size)
{
    PyObject *lane = NULL;
    Py_BEGIN_CRITICAL_SECTION(pool);
    if (pool->last_key != NULL && (size_t)PyBytes_GET_SIZE(pool->last_key) == size
        && memcmp(PyBytes_AS_STRING(pool->last_key), words, size) == 0) {
        lane = pool->last_lane;
        Py_INCREF(lane);
    }
    Py_END_CRITICAL_SECTION();
    return lane;
}

void
keep_as_last(Pool *pool, PyObject *key, PyObject *lane)
{
    PyObject *key_before, *lane_before;
    Py_INCREF(key);
    Py_INCREF(lane);
    Py_BEGIN_CRITICAL_SECTION(pool);
    key_before = pool->last_key;
    lane_before = pool->last_lane;
    pool->last_key = key;
    pool->last_lane = lane;
    Py_END_CRITICAL_SECTION();
    Py_XDECREF(key_before);
    Py_XDECREF(lane_before);
}

static PyObject *
new_pool(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    Pool *self = (Pool *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->waiting = PyDict_New();
        self->running = PyDict_New();
        self->lanes = PyDict_New();
        if (self->waiting == NULL || self->running == NULL || self->lanes == NULL) {
            Py_CLEAR(self);
        }
    }
    return (PyObject *)self;
}

static int
pool_traverse(Pool *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->waiting);
    Py_VISIT(self->running);
    Py_VISIT(self->lanes);
    Py_VISIT(self->last_lane);
    return 0;
}

static int
pool_clear(Pool *self)
{
    Py_CLEAR(self->waiting);
    Py_CLEAR(self->running);
    Py_CLEAR(self->lanes);
    Py_CLEAR(self->last_key);
    Py_CLEAR(self->last_lane);
    return 0;
}

static void
pool_dealloc(Pool *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)pool_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyObject *
pool_forget_last(Pool *self, PyObject *Py_UNUSED(nothing))
{
    put_in((PyObject *)self, &self->last_key, NULL);
    Py_RETURN_NONE;
}

static PyMethodDef pool_methods[] = {
    {"forget_last", (PyCFunction)pool_forget_last, METH_NOARGS, "Look for the lane of the next job among all."},
    {NULL},
};

static PyGetSetDef pool_getset[] = {
    FIELD(Pool, waiting, dict), FIELD(Pool, running, dict), FIELD(Pool, lanes, dict), FIELD(Pool, last_end, seconds),
    FIELD(Pool, inside, flag),  FIELD(Pool, open, flag),    {NULL},
};

static PyType_Slot pool_slots[] = {
    {Py_tp_doc, "What a job reads and writes of its pool."},
    {Py_tp_new, new_pool},
    {Py_tp_dealloc, pool_dealloc},
    {Py_tp_traverse, pool_traverse},
    {Py_tp_clear, pool_clear},
    {Py_tp_methods, pool_methods},
    {Py_tp_getset, pool_getset},
    {0, NULL},
};

PyType_Spec pool_spec = {
    .name = "loopwatch.observe.jobs._jobs_c.PoolFields",
    .basicsize = sizeof(Pool),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = pool_slots,
};
