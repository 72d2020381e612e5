/* One step: what `Handle._run` does, timed.
 *
 * The gain comes from `asyncio.Handle._run`, which is Python code that calls `context.run(callback, *args)`. Where
 * `previous` is that function, and nothing else (see genuine.py), the same is done here: enter the context, call the
 * callback, leave the context. What fails is handed to the genuine function, see replay.c.
 */

#include "clock.h"
#include "exceptions.h"
#include "replay.h"
#include "run.h"

/* A new reference to the stopwatch of the handle's loop, if it has a plain one; NULL, with no exception, if not.
 * What goes on into the application while that is asked is set. */
static PyObject *
stopwatch_of(Run *self, PyObject *handle, int known)
{
    Module *module = self->module;
    PyObject *loop =
        known ? held_in(handle, SLOT(&self->slots, handle, loop)) : PyObject_GetAttr(handle, module->loop_name);
    if (loop == NULL) {
        goto nothing;
    }
    PyObject *state = PyObject_GetAttr(loop, module->stopwatch_name);
    Py_DECREF(loop);
    if (state == NULL) {
        goto nothing;
    }
    if (is_plain((PyObject *)self, &self->plain, state, module) <= 0) {
        Py_DECREF(state);
        return NULL;
    }
    return state;
nothing:
    if (PyErr_Occurred()) {
        (void)goes_on(module);
    }
    return NULL;
}

static inline PyObject *
call_back(PyObject *callback, PyObject *args)
{
    Py_ssize_t count = PyTuple_GET_SIZE(args);
    PyObject *stack[6];
    if (count >= 6) {
        return PyObject_Call(callback, args, NULL);
    }
    /* With room before the first argument a bound method need not copy them. */
    for (Py_ssize_t i = 0; i < count; i++) {
        stack[i + 1] = PyTuple_GET_ITEM(args, i);
    }
    return PyObject_Vectorcall(callback, stack + 1, (size_t)count | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
}

/* What `Handle._run` does. */
static PyObject *
run_callback(Run *self, PyObject *handle)
{
    PyObject *answer = NULL;
    PyObject *callback = held_in(handle, SLOT(&self->slots, handle, callback));
    PyObject *args = held_in(handle, SLOT(&self->slots, handle, args));
    PyObject *context = held_in(handle, SLOT(&self->slots, handle, context));
    if (callback == NULL || args == NULL || context == NULL || !PyTuple_CheckExact(args)
        || !PyContext_CheckExact(context)) {
        answer = PyObject_CallOneArg(self->previous, handle);
        goto done;
    }
    if (PyContext_Enter(context) == 0) {
        answer = call_back(callback, args);
        if (PyContext_Exit(context) < 0) {
            Py_CLEAR(answer);
        }
    }
    if (answer == NULL) {
        answer = raise_in_previous(self, handle, context);
        context = NULL;
    }
done:
    Py_XDECREF(context);
    Py_XDECREF(args);
    Py_XDECREF(callback);
    return answer;
}

/* A step has ended, with or without an exception. Returns -1 if there is another exception to raise instead. */
static int
end_step(Run *self, PyObject *object, PyObject *handle)
{
    Fields *state = (Fields *)object;
    double now;
    if (self->clock == NULL) {
        now = own_clock();
    }
    else {
        now = call_clock(self->clock);
        if (isnan(now) && PyErr_Occurred()) {
            return -1;
        }
    }
    double spent = now - load_seconds(&state->mark);
    int here = spent <= self->quick || spent < load_seconds(&state->slow_from)
                   ? is_plain((PyObject *)self, &self->plain, object, self->module)
                   : 0;
    if (here < 0) {
        return -1;
    }
    if (here) {
        if (spent <= self->quick) {
            add_one(&state->quick);
        }
        else {
            add_one(&state->brief);
            take_one(&state->quick_before);
        }
        store_seconds(&state->mark, now);
        /* So that the handle ends between the steps, and not within the next one. */
        Py_INCREF(Py_None);
        put_in(object, &state->handle, Py_None);
        return 0;
    }
    PyObject *ended = PyFloat_FromDouble(now);
    if (ended == NULL) {
        return -1;
    }
    PyObject *answer = PyObject_CallFunctionObjArgs(self->settle, object, handle, ended, NULL);
    Py_DECREF(ended);
    Py_XDECREF(answer);
    return answer == NULL ? -1 : 0;
}

static void
end_failed_step(Run *self, PyObject *state, PyObject *handle)
{
    Leaving leaving;
    begin_finally(&leaving);
    end_finally(&leaving, end_step(self, state, handle) < 0);
}

PyObject *
run_vectorcall(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    Run *self = (Run *)object;
    if (PyVectorcall_NARGS(flags) != 1 || (names != NULL && PyTuple_GET_SIZE(names) != 0)) {
        PyErr_SetString(PyExc_TypeError, "_run() takes exactly one argument, the handle");
        return NULL;
    }
    PyObject *handle = args[0];
    if (self->previous == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the garbage collector has taken apart what is to be timed");
        return NULL;
    }
    if (!LOAD_FLAG(&self->watching)) {
        return PyObject_CallOneArg(self->previous, handle);
    }
    int known = are_known(&self->slots, handle);
    PyObject *state = stopwatch_of(self, handle, known);
    if (state == NULL) {
        return PyErr_Occurred() ? NULL : PyObject_CallOneArg(self->reference, handle);
    }
    Py_INCREF(handle);
    put_in(state, &((Fields *)state)->handle, handle);
    PyObject *answer =
        known && self->direct ? run_callback(self, handle) : PyObject_CallOneArg(self->previous, handle);
    if (answer == NULL) {
        end_failed_step(self, state, handle);
        Py_DECREF(state);
        return NULL;
    }
    Py_DECREF(answer);
    int ended = end_step(self, state, handle);
    Py_DECREF(state);
    if (ended < 0) {
        return NULL;
    }
    Py_RETURN_NONE;
}
