/* What a handle is given in place of its callback. */

#include "calls.h"
#include "clock.h"

#include <math.h>

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    PyObject *callback;
    Calls *calls;
    Module *module; /* which its type keeps alive, until the collector takes that apart */
    int waits; /* whether it is one of those that are ready to run */
} Call;

static int
call_traverse(Call *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    Py_VISIT(self->callback);
    Py_VISIT(self->calls);
    return 0;
}

static inline void
waits_no_more(Call *self)
{
#ifdef Py_GIL_DISABLED
    if (LOAD_FLAG(&self->waits) && TAKE_FLAG(&self->waits)) {
#else
    if (self->waits) {
        self->waits = 0;
#endif
        ADD_COUNT(&self->calls->waiting, -1);
    }
}

static int
call_clear(Call *self)
{
    /* Never NULL: what is in the same cycle may still ask for its name. */
    PyObject *before = self->callback;
    Py_INCREF(Py_None);
    self->callback = Py_None;
    Py_DECREF(before);
    return 0;
}

static void
call_dealloc(Call *self)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    waits_no_more(self);
    Py_CLEAR(self->callback);
    Py_CLEAR(self->calls);
#ifndef Py_GIL_DISABLED
    Module *module = self->module;
    if (((PyHeapTypeObject *)type)->ht_module != NULL && module->kept < MOST_KEPT) {
        module->free[module->kept++] = (PyObject *)self;
        return;
    }
#endif
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* Tell of what was neither quick nor brief. What the callback has raised stays; an error of `settle` does not. */
static PyObject *
call_slowly(Calls *calls, PyObject *callback, double began, double ended, PyObject *answer)
{
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    PyObject *told = PyObject_CallFunction(calls->settle, "Odd", callback, began, ended);
    if (told == NULL) {
        if (PyErr_ExceptionMatches(PyExc_Exception)) {
            PyErr_WriteUnraisable(calls->settle);
        }
        else { /* what a signal handler raised goes the way of all that is raised here */
            Py_CLEAR(answer);
            Py_XDECREF(kind);
            Py_XDECREF(error);
            Py_XDECREF(trace);
            return NULL;
        }
    }
    Py_XDECREF(told);
    PyErr_Restore(kind, error, trace);
    return answer;
}

/* Whatever the clock raises is nobody's: where it fails, the call is counted as quick, and took no time. */
static inline double
time_now(Calls *calls)
{
    if (calls->clock == NULL) {
        return own_clock();
    }
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    double now = call_clock(calls->clock);
    PyErr_Clear();
    PyErr_Restore(kind, error, trace);
    return now;
}

static inline PyObject *
call_back(PyObject *callback, PyObject *const *args, size_t flags, PyObject *names)
{
    vectorcallfunc way = way_into(callback);
    if (way != NULL) {
        return way(callback, args, flags, names);
    }
    if (PyVectorcall_NARGS(flags) != 0 || names != NULL) {
        return PyObject_Vectorcall(callback, args, flags, names);
    }
    PyObject *nothing = PyTuple_New(0); /* as it is with each step of a task */
    PyObject *answer = nothing == NULL ? NULL : PyObject_Call(callback, nothing, NULL);
    Py_XDECREF(nothing);
    return answer;
}

static PyObject *
call_vectorcall(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    Call *self = (Call *)object;
    Calls *calls = self->calls;
    PyObject *callback = self->callback;
    waits_no_more(self);
    if (LOAD_POINTER(&calls->loop) == NULL || load_seconds(&calls->began) != Py_HUGE_VAL) {
        return call_directly(callback, args, flags, names);
    }
    Py_INCREF(calls); /* the callback may cancel its own handle, and with it end this */
    STORE_COUNT(&calls->behind, LOAD_COUNT(&calls->waiting));
    Py_INCREF(callback); /* so it is held until this is over: nobody else takes it from there */
    put_in((PyObject *)calls, &calls->running, callback);
    double began = time_now(calls);
    store_seconds(&calls->began, began);
    PyObject *answer = call_back(callback, args, flags, names);
    double ended = time_now(calls);
    double spent = ended - began;
    if (!isnan(spent)) {
        store_seconds(&calls->seconds, load_seconds(&calls->seconds) + spent);
    }
    if (!(spent > calls->bound)) {
        add_one(&calls->quick);
    }
    else if (spent < calls->slow_from) {
        add_one(&calls->brief);
    }
    else if (LOAD_POINTER(&calls->loop) != NULL) {
        answer = call_slowly(calls, callback, began, ended, answer);
    }
    store_seconds(&calls->began, Py_HUGE_VAL);
    put_in((PyObject *)calls, &calls->running, NULL);
    Py_DECREF(calls);
    return answer;
}

/* In all else it answers as the callback would. */

static PyObject *
call_repr(Call *self)
{
    return PyObject_Repr(self->callback);
}

static PyObject *
call_str(Call *self)
{
    return PyObject_Str(self->callback);
}

static PyObject *
call_getattr(Call *self, PyObject *name)
{
    return PyObject_GetAttr(self->callback, name);
}

static PyObject *
call_compare(PyObject *self, PyObject *other, int operation)
{
    PyTypeObject *type = Py_TYPE(self);
    PyObject *ours = ((Call *)self)->callback;
    if (Py_TYPE(other) == type) {
        other = ((Call *)other)->callback;
    }
    return PyObject_RichCompare(ours, other, operation);
}

static Py_hash_t
call_hash(Call *self)
{
    return PyObject_Hash(self->callback);
}

static PyMemberDef call_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Call, vectorcall), READONLY},
    {NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_doc, "Stands for a callback, and times it."},
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_traverse, call_traverse},
    {Py_tp_clear, call_clear},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_repr, call_repr},
    {Py_tp_str, call_str},
    {Py_tp_getattro, call_getattr},
    {Py_tp_richcompare, call_compare},
    {Py_tp_hash, call_hash},
    {Py_tp_members, call_members},
    {0, NULL},
};

PyType_Spec call_spec = {
    .name = "loopwatch.observe.uvloops._calls_c.Call",
    .basicsize = sizeof(Call),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_IMMUTABLETYPE
             | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = call_slots,
};

PyObject *
new_call(Module *module, Calls *calls, PyObject *callback, int waits)
{
    Call *call;
#ifndef Py_GIL_DISABLED
    if (module->kept > 0) {
        call = (Call *)module->free[--module->kept];
        _Py_NewReference((PyObject *)call);
    }
    else
#endif
    {
        call = PyObject_GC_New(Call, module->call_type);
        if (call == NULL) {
            Py_DECREF(calls);
            return NULL;
        }
        call->vectorcall = call_vectorcall;
        call->module = module;
    }
    Py_INCREF(callback);
    call->callback = callback;
    call->calls = calls;
    call->waits = waits;
    if (waits) {
        ADD_COUNT(&calls->waiting, 1);
    }
    PyObject_GC_Track(call);
    return (PyObject *)call;
}
