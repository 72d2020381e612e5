/* What a callback raised, raised once more in the genuine `Handle._run`: a stand-in for the context, put into the handle,
 * does it. So the message, the traceback, and what each version of Python does with them are its own.
 */

#include "replay.h"

#include "exceptions.h"

typedef struct {
    PyObject_HEAD
    PyObject *handle;
    PyObject **context_place;
    PyObject **args_place;
    PyObject *context;
    PyObject *args;        /* what the handle has by now; NULL where it may stay */
    PyObject *placeholder; /* what stands there instead */
    PyObject *kind, *error, *trace;
} Replay;

static int
replay_traverse(Replay *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->handle);
    Py_VISIT(self->context);
    Py_VISIT(self->args);
    Py_VISIT(self->placeholder);
    Py_VISIT(self->kind);
    Py_VISIT(self->error);
    Py_VISIT(self->trace);
    return 0;
}

static int
replay_clear(Replay *self)
{
    Py_CLEAR(self->handle);
    Py_CLEAR(self->context);
    Py_CLEAR(self->args);
    Py_CLEAR(self->placeholder);
    Py_CLEAR(self->kind);
    Py_CLEAR(self->error);
    Py_CLEAR(self->trace);
    return 0;
}

static void
replay_dealloc(Replay *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)replay_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* Leave the handle as it was. */
static void
replay_restore(Replay *self)
{
    if (self->context != NULL) {
        PyObject *context = self->context;
        self->context = NULL;
        (void)put_instead(self->handle, self->context_place, (PyObject *)self, context);
    }
    if (self->args != NULL) {
        PyObject *args = self->args;
        self->args = NULL;
        (void)put_instead(self->handle, self->args_place, self->placeholder, args);
    }
}

/* What the genuine function takes for `context.run`. */
static PyObject *
replay_run(Replay *self, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(count), PyObject *Py_UNUSED(names))
{
    PyObject *kind = self->kind, *error = self->error, *trace = self->trace;
    if (kind == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this was raised already");
        return NULL;
    }
    self->kind = self->error = self->trace = NULL;
    replay_restore(self);
    PyErr_Restore(kind, error, trace);
    return NULL;
}

static PyMethodDef replay_methods[] = {
    {"run", (PyCFunction)(void (*)(void))replay_run, METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL},
};

static PyType_Slot replay_slots[] = {
    {Py_tp_doc, "Stands for a context in which the callback has run already, and has raised."},
    {Py_tp_dealloc, replay_dealloc},
    {Py_tp_traverse, replay_traverse},
    {Py_tp_clear, replay_clear},
    {Py_tp_methods, replay_methods},
    {0, NULL},
};

PyType_Spec replay_spec = {
    .name = "loopwatch.observe.stopwatch._steps_c.Replay",
    .basicsize = sizeof(Replay),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = replay_slots,
};

PyObject *
raise_in_previous(Run *self, PyObject *handle, PyObject *context)
{
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    PyTypeObject *type = self->module->replay_type;
    Replay *replay = (Replay *)type->tp_alloc(type, 0);
    PyObject *placeholder = PyTuple_New(0);
    if (replay == NULL || placeholder == NULL) { /* without memory it has to do without this frame */
        PyErr_Clear();
        Py_XDECREF(placeholder);
        Py_XDECREF(replay);
        Py_DECREF(context);
        PyErr_Restore(kind, error, trace);
        return NULL;
    }
    Py_INCREF(handle);
    replay->handle = handle;
    replay->kind = kind;
    replay->error = error;
    replay->trace = trace;
    replay->context_place = SLOT(&self->slots, handle, context);
    replay->args_place = SLOT(&self->slots, handle, args);
    replay->placeholder = placeholder;
    replay->context = context;
    Py_INCREF(replay);
    put_in(handle, replay->context_place, (PyObject *)replay);
    PyObject *args = held_in(handle, replay->args_place);
    if (args != NULL && !PyTuple_CheckExact(args)) { /* the callback has cancelled its own handle */
        replay->args = args;
        Py_INCREF(placeholder);
        put_in(handle, replay->args_place, placeholder);
    }
    else {
        Py_XDECREF(args);
    }
    PyObject *answer = PyObject_CallOneArg(self->previous, handle);
    if (replay->kind != NULL) { /* something else was raised there before, as a signal handler can */
        PyObject *other[3];
        PyErr_Fetch(&other[0], &other[1], &other[2]);
        replay_restore(replay);
        PyErr_Restore(replay->kind, replay->error, replay->trace);
        replay->kind = replay->error = replay->trace = NULL;
        PyErr_WriteUnraisable(handle);
        PyErr_Restore(other[0], other[1], other[2]);
    }
    Py_DECREF(replay);
    return answer;
}
