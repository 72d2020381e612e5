/* Makes the job of a function that is submitted. */

#include "entry.h"
#include "clock.h"
#include "worker.h"

/* For whom the job works: the task and loop that submit it, or the loop of the job that does. */
static int
set_owner(Entry *self, Module *module, Job *job, PyObject *loop, PyObject *outer)
{
    if (loop == Py_None) {
        if (outer == Py_None) {
            return 0;
        }
        job->submitter = PyThread_get_thread_ident();
        PyObject *for_loop = PyObject_GetAttr(outer, module->for_loop_name); /* a job of any kind */
        job->for_loop = for_loop == Py_True;
        Py_XDECREF(for_loop);
        return for_loop == NULL ? -1 : 0;
    }
    job->for_loop = 1;
    PyObject *task = PyObject_CallOneArg(self->current_task, loop);
    if (task == NULL) {
        return -1;
    }
    if (task != Py_None) {
        job->task = PyWeakref_NewRef(task, NULL);
    }
    Py_DECREF(task);
    return task != Py_None && job->task == NULL ? -1 : 0;
}

static PyObject *
enter(Entry *self, Module *module, Pool *pool, PyObject *function)
{
    PyObject *loop = PyObject_CallNoArgs(module->running_loop);
    PyObject *outer = NULL, *lane = NULL;
    Job *job = NULL;
    if (loop == NULL) {
        return NULL;
    }
    if (loop == Py_None) {
        outer = outer_job(module);
        if (outer != NULL) {
            lane = lane_of(self, module, pool, function, outer == Py_None ? 1 : ELSEWHERE, 0);
        }
    }
    else {
        lane = lane_of(self, module, pool, function, ON_LOOP, 1);
    }
    if (lane != NULL && (job = new_fields(self->kind, module)) != NULL) {
        Py_INCREF(pool);
        job->pool = (PyObject *)pool;
        Py_INCREF(function);
        job->function = function;
        Py_INCREF(lane);
        job->lane = lane;
        Py_INCREF(self->finished);
        job->finished = self->finished;
        job->busy.seconds = (double)PyDict_GET_SIZE(pool->running);
        job->submitted.seconds = read_clock(module->clock);
        if (set_owner(self, module, job, loop, outer) < 0 || PyErr_Occurred()
            || PyDict_SetItem(pool->waiting, (PyObject *)job, Py_None) < 0) {
            Py_CLEAR(job);
        }
    }
    Py_XDECREF(lane);
    Py_XDECREF(outer);
    Py_DECREF(loop);
    return (PyObject *)job;
}

static PyObject *
entry_vectorcall(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    Entry *self = (Entry *)object;
    if (self->kind == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the garbage collector has taken apart what makes jobs");
        return NULL;
    }
    if (PyVectorcall_NARGS(flags) != 2 || (names != NULL && PyTuple_GET_SIZE(names) > 0)
        || !PyObject_TypeCheck(args[0], self->module->pool_type)) {
        PyErr_SetString(PyExc_TypeError, "a pool and a function are needed");
        return NULL;
    }
    return enter(self, self->module, (Pool *)args[0], args[1]);
}

static int
entry_traverse(Entry *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->owner);
    Py_VISIT(self->kind);
    Py_VISIT(self->finished);
    Py_VISIT(self->current_task);
    Py_VISIT(self->callee_key);
    return 0;
}

static int
entry_clear(Entry *self)
{
    Py_CLEAR(self->kind);
    Py_CLEAR(self->finished);
    Py_CLEAR(self->current_task);
    Py_CLEAR(self->callee_key);
    return 0;
}

static void
entry_dealloc(Entry *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)entry_clear(self);
    Py_CLEAR(self->owner);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

static PyMemberDef entry_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Entry, vectorcall), READONLY, NULL},
    {NULL},
};

static PyType_Slot entry_slots[] = {
    {Py_tp_doc, "Makes the job of a function that is submitted, and puts it into its pool's queue."},
    {Py_tp_dealloc, entry_dealloc},
    {Py_tp_traverse, entry_traverse},
    {Py_tp_clear, entry_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, entry_members},
    {0, NULL},
};

PyType_Spec entry_spec = {
    .name = "loopwatch.observe.jobs._jobs_c.Entry",
    .basicsize = sizeof(Entry),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = entry_slots,
};

static int
keep_ends(Entry *entry, PyObject *until)
{
    PyObject *each = PySequence_Tuple(until);
    if (each == NULL) {
        return -1;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(each);
    if (count > MOST_ENDS) {
        PyErr_SetString(PyExc_ValueError, "there are more kinds of steps than are known here");
    }
    for (Py_ssize_t i = 0; i < count && !PyErr_Occurred(); i++) {
        entry->end[entry->ends++] = (uintptr_t)PyLong_AsVoidPtr(PyTuple_GET_ITEM(each, i));
    }
    Py_DECREF(each);
    return PyErr_Occurred() ? -1 : 0;
}

PyObject *
make_entry(PyObject *owner, PyObject *args)
{
    PyObject *finished, *until, *current_task, *callee_key;
    PyTypeObject *kind;
    Module *module = PyModule_GetState(owner);
    if (!PyArg_ParseTuple(args, "O!OOOO:make_entry", &PyType_Type, &kind, &finished, &until, &current_task,
                          &callee_key)) {
        return NULL;
    }
    if (!PyType_IsSubtype(kind, module->job_type)) {
        PyErr_SetString(PyExc_TypeError, "a class with the fields of a job is needed");
        return NULL;
    }
    Entry *entry = (Entry *)module->entry_type->tp_alloc(module->entry_type, 0);
    if (entry == NULL) {
        return NULL;
    }
    entry->vectorcall = entry_vectorcall;
    entry->module = module;
    entry->owner = kept(owner);
    entry->kind = (PyTypeObject *)kept((PyObject *)kind);
    entry->finished = kept(finished);
    entry->current_task = kept(current_task);
    entry->callee_key = kept(callee_key);
    if (keep_ends(entry, until) < 0) {
        Py_CLEAR(entry);
    }
    return (PyObject *)entry;
}
