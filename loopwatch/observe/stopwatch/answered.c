/* What an epoll object answered, or raised, given to the genuine `EpollSelector.select`: a stand-in for the selector does
 * it. So what is made of it is asyncio's own.
 */

#include "answered.h"

#include "exceptions.h"

typedef struct {
    PyObject_HEAD
    PyObject *selector;
    PyObject *answer; /* NULL: the exception */
    PyObject *kind, *error, *trace;
} Answered;

static int
answered_traverse(Answered *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->selector);
    Py_VISIT(self->answer);
    Py_VISIT(self->kind);
    Py_VISIT(self->error);
    Py_VISIT(self->trace);
    return 0;
}

static int
answered_clear(Answered *self)
{
    Py_CLEAR(self->selector);
    Py_CLEAR(self->answer);
    Py_CLEAR(self->kind);
    Py_CLEAR(self->error);
    Py_CLEAR(self->trace);
    return 0;
}

static void
answered_dealloc(Answered *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    (void)answered_clear(self);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* It is the selector and its epoll object in one; all else is asked of the real selector. */
static PyObject *
answered_get(Answered *self, PyObject *name)
{
    if (PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, "_selector") == 0) {
        Py_INCREF(self);
        return (PyObject *)self;
    }
    if (PyUnicode_Check(name) && PyUnicode_CompareWithASCIIString(name, "poll") == 0) {
        return PyObject_GenericGetAttr((PyObject *)self, name);
    }
    return PyObject_GetAttr(self->selector, name);
}

static PyObject *
answered_poll(Answered *self, PyObject *const *Py_UNUSED(args), Py_ssize_t Py_UNUSED(count),
              PyObject *Py_UNUSED(names))
{
    PyObject *answer = self->answer, *kind = self->kind, *error = self->error, *trace = self->trace;
    self->answer = self->kind = self->error = self->trace = NULL;
    if (answer == NULL && kind == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "this was answered already");
    }
    else if (answer == NULL) {
        PyErr_Restore(kind, error, trace);
    }
    return answer;
}

static PyMethodDef answered_methods[] = {
    {"poll", (PyCFunction)(void (*)(void))answered_poll, METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL},
};

static PyType_Slot answered_slots[] = {
    {Py_tp_doc, "Stands for a selector that has been polled already."},
    {Py_tp_dealloc, answered_dealloc},
    {Py_tp_traverse, answered_traverse},
    {Py_tp_clear, answered_clear},
    {Py_tp_getattro, answered_get},
    {Py_tp_methods, answered_methods},
    {0, NULL},
};

PyType_Spec answered_spec = {
    .name = "loopwatch.observe.stopwatch._steps_c.Answered",
    .basicsize = sizeof(Answered),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = answered_slots,
};

PyObject *
tell_answer(Select *self, PyObject *answer, PyObject *timeout)
{
    PyObject *kind = NULL, *error = NULL, *trace = NULL;
    if (answer == NULL) {
        PyErr_Fetch(&kind, &error, &trace);
    }
    PyTypeObject *type = self->module->answered_type;
    Answered *answered = (Answered *)type->tp_alloc(type, 0);
    if (answered == NULL) {
        Py_XDECREF(answer);
        drop(kind, error, trace);
        return NULL;
    }
    answered->selector = PyMethod_GET_SELF(self->inner);
    Py_INCREF(answered->selector);
    answered->answer = answer;
    answered->kind = kind;
    answered->error = error;
    answered->trace = trace;
    PyObject *stack[3] = {NULL, (PyObject *)answered, timeout};
    PyObject *function = PyMethod_GET_FUNCTION(self->inner);
    PyObject *events = PyObject_Vectorcall(function, stack + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(answered);
    return events;
}
