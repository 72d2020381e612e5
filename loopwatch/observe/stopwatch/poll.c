/* One poll, which bounds the turns of a loop.
 *
 * Where `inner` is the method `select` of a genuine `EpollSelector`, a poll that does not wait is asked of its epoll
 * object here: mostly nothing is ready, and then what its `epoll.poll` answers is all. What is ready, or raised, is given
 * to the genuine function, see answered.c.
 */

#include "answered.h"
#include "clock.h"
#include "exceptions.h"
#include "select.h"

/* Ask the selector: of a bound method its function, which saves a call. */
static inline PyObject *
poll(Select *self, PyObject *timeout)
{
    PyObject *inner = self->inner;
    if (!Py_IS_TYPE(inner, &PyMethod_Type)) {
        return PyObject_CallOneArg(inner, timeout);
    }
    PyObject *stack[3] = {NULL, PyMethod_GET_SELF(inner), timeout};
    return PyObject_Vectorcall(PyMethod_GET_FUNCTION(inner), stack + 1, 2 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
}

/* Ask a selector without waiting. */
static PyObject *
poll_zero(Select *self, PyObject *timeout)
{
    Module *module = self->module;
    if (self->selector_type == NULL || !Py_IS_TYPE(PyMethod_GET_SELF(self->inner), self->selector_type)) {
        return poll(self, timeout);
    }
    PyObject *selector = PyMethod_GET_SELF(self->inner);
    PyObject *epoll = PyObject_GetAttr(selector, module->selector_name);
    PyObject *keys = epoll != NULL ? PyObject_GetAttr(selector, module->keys_name) : NULL;
    PyObject *events = NULL;
    if (keys == NULL || !Py_IS_TYPE(epoll, self->epoll_type) || !PyDict_CheckExact(keys)) {
        PyErr_Clear(); /* the genuine function will say the same */
        events = poll(self, timeout);
        goto done;
    }
    Py_ssize_t most = PyDict_Size(keys);
    PyObject *at_most = PyLong_FromSsize_t(most > 0 ? most : 1);
    if (at_most == NULL) {
        goto done;
    }
    PyObject *stack[4] = {NULL, epoll, module->zero, at_most};
    events = PyObject_VectorcallMethod(module->poll_name, stack + 1, 3 | PY_VECTORCALL_ARGUMENTS_OFFSET, NULL);
    Py_DECREF(at_most);
    if (events == NULL || !PyList_CheckExact(events) || PyList_GET_SIZE(events) != 0) {
        events = tell_answer(self, events, timeout);
    }
done:
    Py_XDECREF(epoll);
    Py_XDECREF(keys);
    return events;
}

/* A turn ended. Returns whether what is ready behind it is to be counted, -1 with an exception. */
static inline int
end_turn(Select *self, PyObject *object, double ended)
{
    Fields *state = (Fields *)object;
    double lasted = ended - load_seconds(&state->turn);
    if (lasted <= self->quick) {
        add_one(&state->quick_turns);
        return 0;
    }
    if (lasted < load_seconds(&state->slow_from)) {
        add_one(&state->brief_turns);
        return 0;
    }
    PyObject *when = PyFloat_FromDouble(ended);
    if (when == NULL) {
        return -1;
    }
    PyObject *answer = PyObject_CallMethodOneArg(object, self->module->slow_turn_name, when);
    Py_DECREF(when);
    if (answer == NULL) {
        return -1;
    }
    int asked = PyObject_IsTrue(answer);
    Py_DECREF(answer);
    return asked;
}

static inline void
begin_turn(Fields *state, double now)
{
    store_seconds(&state->turn, now);
    STORE_COUNT(&state->quick_before, LOAD_COUNT(&state->quick));
}

/* Poll without waiting, and tell the stopwatch what is ready. */
static PyObject *
poll_and_count(Select *self, PyObject *state, PyObject *timeout)
{
    PyObject *events = poll_zero(self, timeout);
    if (events != NULL) {
        PyObject *answer = PyObject_CallMethodOneArg(state, self->module->counted_name, events);
        Py_XDECREF(answer);
        if (answer == NULL) {
            Py_CLEAR(events);
        }
    }
    return events;
}

static PyObject *
poll_at_once(Select *self, PyObject *object, PyObject *timeout)
{
    Fields *state = (Fields *)object;
    double entry = load_seconds(&state->mark);
    int asked = end_turn(self, object, entry);
    if (asked < 0) {
        return NULL;
    }
    begin_turn(state, entry);
    return asked ? poll_and_count(self, object, timeout) : poll_zero(self, timeout);
}

/* The poll that waited is over. Where it was let go meanwhile, nothing is written. */
static int
end_wait(Select *self, PyObject *object)
{
    Fields *state = (Fields *)object;
    double now = read_clock(self->clock);
    if (isnan(now) && PyErr_Occurred()) {
        return -1;
    }
    int here = LOAD_POINTER(&self->state) == object
                   ? is_plain((PyObject *)self, &self->plain, object, self->module)
                   : 0;
    if (here < 0) {
        return -1;
    }
    if (here) {
        begin_turn(state, now);
        store_seconds(&state->idle, load_seconds(&state->idle) + now);
        store_seconds(&state->mark, now);
    }
    PyObject *asleep = PyObject_GetAttr(self->alarm, self->module->asleep_name);
    if (asleep == NULL) {
        return -1;
    }
    int sleeps = PyObject_IsTrue(asleep);
    Py_DECREF(asleep);
    if (sleeps > 0) {
        PyObject *answer = PyObject_CallMethodNoArgs(self->alarm, self->module->wake_name);
        Py_XDECREF(answer);
        sleeps = answer == NULL ? -1 : 0;
    }
    return sleeps;
}

static PyObject *
poll_and_wait(Select *self, PyObject *object, PyObject *timeout)
{
    Fields *state = (Fields *)object;
    /* First: what only it keeps alive ends within the turn, not within the poll. */
    Py_INCREF(Py_None);
    put_in(object, &state->handle, Py_None);
    double entry = read_clock(self->clock);
    if (isnan(entry) && PyErr_Occurred()) {
        return NULL;
    }
    int asked = end_turn(self, object, entry);
    if (asked < 0) {
        return NULL;
    }
    begin_turn(state, entry);
    if (asked) {
        store_seconds(&state->mark, entry);
        PyObject *events = poll_and_count(self, object, self->module->zero);
        int any = events == NULL ? -1 : PyObject_IsTrue(events);
        if (any != 0) {
            if (any < 0) {
                Py_CLEAR(events);
            }
            return events;
        }
        Py_DECREF(events);
        store_seconds(&state->turn, entry);
    }
    store_seconds(&state->idle, load_seconds(&state->idle) - entry);
    store_seconds(&state->mark, Py_HUGE_VAL);
    PyObject *events = poll(self, timeout);
    if (events != NULL) {
        if (end_wait(self, object) < 0) {
            Py_CLEAR(events);
        }
        return events;
    }
    Leaving leaving;
    begin_finally(&leaving);
    end_finally(&leaving, end_wait(self, object) < 0);
    return NULL;
}

/* Whether a poll with this timeout does not wait. */
static inline int
is_zero(PyObject *timeout, Module *module)
{
    if (timeout == Py_None) {
        return 0;
    }
    if (PyFloat_CheckExact(timeout)) {
        return PyFloat_AS_DOUBLE(timeout) == 0.0;
    }
    if (timeout == module->zero) {
        return 1;
    }
    return PyObject_RichCompareBool(timeout, module->zero, Py_EQ);
}

static int
timeout_in(PyObject *const *args, size_t flags, PyObject *names, PyObject **timeout)
{
    Py_ssize_t count = PyVectorcall_NARGS(flags);
    Py_ssize_t named = names == NULL ? 0 : PyTuple_GET_SIZE(names);
    *timeout = Py_None;
    if (count + named == 0) {
        return 0;
    }
    if (count + named == 1
        && (named == 0 || PyUnicode_CompareWithASCIIString(PyTuple_GET_ITEM(names, 0), "timeout") == 0)) {
        *timeout = args[0];
        return 0;
    }
    PyErr_SetString(PyExc_TypeError, "select() takes one argument at most, the timeout");
    return -1;
}

PyObject *
select_vectorcall(PyObject *object, PyObject *const *args, size_t flags, PyObject *names)
{
    Select *self = (Select *)object;
    PyObject *timeout;
    if (timeout_in(args, flags, names, &timeout) < 0) {
        return NULL;
    }
    if (self->inner == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "the garbage collector has taken apart what is to be timed");
        return NULL;
    }
    PyObject *state = held_in(object, &self->state);
    if (state == NULL) {
        return poll(self, timeout);
    }
    PyObject *events;
    int zero = is_zero(timeout, self->module);
    int here = zero < 0 ? -1 : is_plain(object, &self->plain, state, self->module);
    if (here < 0) {
        events = NULL;
    }
    else if (!here) {
        events = PyObject_CallOneArg(self->reference, timeout);
    }
    else if (zero) {
        events = poll_at_once(self, state, timeout);
    }
    else {
        events = poll_and_wait(self, state, timeout);
    }
    Py_DECREF(state);
    return events;
}
