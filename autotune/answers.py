"""What becomes of the requests of people: the loop does what was asked, or says in one line why it cannot be done.

A request may come from anybody who can write the study's folder, at any time and twice: nothing of it is believed
before it is checked against the study as it stands.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from autotune.own_settings import CannotBe, own_settings, text_of, who
from studies import words
from studies.record import Proposal, State, TrialRecord
from studies.requests import Action, Request

if TYPE_CHECKING:
    from autotune.live import Live
    from autotune.loop import Loop


def answer(loop: Loop, request: Request | str, instead: str = "") -> str:
    """Do what was asked and write the answer down, once; returns the id of the request.

    `instead` is the answer where nothing can be done any more; a note is written all the same.
    """
    if isinstance(request, str):
        said = "is no request that this autotune understands"
        loop.log.answered(request, "", said, done=False)
        loop.view.noted(words.reply(request, None, "", said))
        return request
    request = _meant(loop, request)
    done, proposal = False, None
    try:
        if instead and request.action is not Action.NOTE:
            raise CannotBe(instead)
        proposal = _wanted(loop, request) if request.action is Action.TRY else None
        said = _tried_next(proposal) if proposal else _do(loop, request)
        done = True
    except CannotBe as reason:
        said = str(reason)
    loop.log.answered(
        request.id, request.action, said, trial=request.trial, by=request.by, done=done, proposal=proposal
    )
    if proposal is not None:  # after it is written down: a kill in between leaves it to the next process
        loop.ledger.want(proposal, request.id)
        loop.wanted = loop.ledger.wanted()
    loop.view.noted(words.reply(request.action, request.trial, request.by, said))
    return request.id


def _meant(loop: Loop, request: Request) -> Request:
    """The request with its trial, where none is named and it can only be one."""
    if request.trial is not None:
        return request
    live = loop.live.values()
    match request.action:
        case Action.STOP_TRIAL:
            one = [t.record.number for t in live]
        case Action.PAUSE:
            one = [t.record.number for t in live if t.paused_at is None]
        case Action.CONTINUE:
            one = [t.record.number for t in live if t.paused_at is not None]
        case Action.ACCEPT | Action.REFUSE:
            one = [t.number for t in loop.study.waiting]
        case _:
            one = []
    return replace(request, trial=one[0]) if len(one) == 1 else request


def _do(loop: Loop, request: Request) -> str:
    match request.action:
        case Action.STOP_STUDY:
            return _stop_study(loop)
        case Action.STOP_AFTER:
            return _stop_after(loop)
        case Action.STOP_TRIAL:
            return _stop_trial(loop, request)
        case Action.PAUSE:
            return _pause(loop, request)
        case Action.CONTINUE:
            return _go_on(loop, request)
        case Action.REVIEW_ON:
            return _review(loop)
        case Action.REVIEW_OFF:
            return _review_no_more(loop)
        case Action.ACCEPT:
            return _accept(loop, _waiting(loop, request.trial))
        case Action.REFUSE:
            return _refuse(loop, request)
        case Action.NOTE:
            return _note(loop, request)
    raise AssertionError(request.action)


# ---- ending


def _stop_study(loop: Loop) -> str:
    if loop.stopping:
        raise CannotBe("the study is stopping already")
    if not loop.ending:
        loop.log.ending()
    loop.stopping = loop.ending = True
    for live in loop.live.values():
        live.hurry()
        live.running.ask_to_stop()
    return "the study ends with the step its trials are at; resume takes them up again"


def _stop_after(loop: Loop) -> str:
    if loop.ending:
        raise CannotBe("the study is stopping already")
    loop.log.ending()
    loop.ending = True
    running = [live.record.number for live in loop.live.values()]
    return f"no new trial begins; the study ends with {_trials(running)}" if running else "the study ends"


def _stop_trial(loop: Loop, request: Request) -> str:
    if request.trial is None:
        raise CannotBe("several trials are running: say which is meant" if loop.live else "no trial is running")
    live = _running(loop, request.trial)
    why = f"a person stopped it at step {live.record.steps}"
    loop.log.stopped(request.trial, why)
    live.stop(why)
    return f"trial {request.trial} ends after its step"


# ---- pausing


def _pause(loop: Loop, request: Request) -> str:
    if request.trial is not None:
        chosen = [_running(loop, request.trial)]
        if chosen[0].paused_at is not None:
            raise CannotBe(f"trial {request.trial} is paused already")
    else:
        chosen = [live for live in loop.live.values() if live.paused_at is None and not live.condemned]
        if not chosen:
            raise CannotBe("what runs is paused already" if loop.live else "no trial is running")
    for live in chosen:
        loop.log.paused(live.record.number)
        live.pause()
        loop.study = loop.study.with_trial(live.record)
    when = "" if loop.of_command else " once the step is over"  # a command stands still where it is
    return f"{_trials([live.record.number for live in chosen], 'is', 'are')} paused{when}"


def _go_on(loop: Loop, request: Request) -> str:
    if request.trial is not None:
        chosen = [_running(loop, request.trial)]
        if chosen[0].paused_at is None:
            raise CannotBe(f"trial {request.trial} is not paused")
    else:
        chosen = [live for live in loop.live.values() if live.paused_at is not None]
        if not chosen:
            raise CannotBe("no trial is paused")
    for live in chosen:
        loop.log.continued(live.record.number, live.go_on())
        loop.study = loop.study.with_trial(live.record)
    return _trials([live.record.number for live in chosen], "goes on", "go on")


def _running(loop: Loop, number: int) -> Live:
    """The trial of that number, where it runs and is to go on running."""
    live = loop.live.get(number)
    if live is None:
        raise CannotBe(_not_running(loop, number))
    if live.condemned or loop.stopping:
        raise CannotBe(f"trial {number} is ending already")
    return live


def _not_running(loop: Loop, number: int) -> str:
    trial = loop.study.trial(number)
    if trial is None:
        return f"there is no trial {number}"
    if trial.state is State.WAITING:
        return f"trial {number} has not begun: it waits to be accepted or refused"
    return f"trial {number} is not running"


# ---- proposals before they run


def _review(loop: Loop) -> str:
    if loop.review:
        raise CannotBe("every proposal waits already")
    loop.log.reviewed(on=True)
    loop.review = True
    return "from now on every proposal waits to be accepted or refused"


def _review_no_more(loop: Loop) -> str:
    if not loop.review:
        raise CannotBe("no proposal is made to wait")
    loop.log.reviewed(on=False)
    loop.review = False
    begun = [_accept(loop, trial) for trial in loop.study.waiting]
    return "; ".join(["proposals begin without being asked about", *begun])


def _waiting(loop: Loop, number: int | None) -> TrialRecord:
    """The trial of that number, where it waits for a person."""
    waiting = loop.study.waiting
    if not waiting:
        raise CannotBe("no proposal waits for an answer")
    if number is None:
        raise CannotBe(f"{_trials([t.number for t in waiting])} wait for an answer: say which is meant")
    trial = next((t for t in waiting if t.number == number), None)
    if trial is None:
        others = _trials([t.number for t in waiting], "does", "do")
        raise CannotBe(f"trial {number} does not wait for an answer; {others}")
    return trial


def _accept(loop: Loop, trial: TrialRecord) -> str:
    loop.log.accepted(trial.number)
    trial = replace(trial, state=State.RUNNING)
    loop.study = loop.study.with_trial(trial)
    loop.ready.append(trial)
    return f"trial {trial.number} begins" + (", once the study goes on" if loop.ending else "")


def _refuse(loop: Loop, request: Request) -> str:
    trial = _waiting(loop, request.trial)
    why = f": {text_of(request)}" if request.text.strip() else ""
    trial = replace(trial, state=State.REFUSED, reason=f"{who(request)} refused it{why}")
    loop.ledger.tell(trial)
    loop.log.ended(trial.number, trial.state, trial.reason, None, 0.0)
    loop.study = loop.study.with_trial(trial)
    return f"trial {trial.number} never runs, and its settings are not proposed again"


# ---- a person's own settings, and notes


def _wanted(loop: Loop, request: Request) -> Proposal:
    if loop.ending:
        raise CannotBe("the study is ending: no new trial begins")
    return own_settings(loop.study, loop.wanted, request)


def _tried_next(proposal: Proposal) -> str:
    return f"tried next: {words.knobs(proposal.knobs)}"


def _note(loop: Loop, request: Request) -> str:
    text = text_of(request)
    if not text:
        raise CannotBe("the note is empty")
    if request.trial is not None and loop.study.trial(request.trial) is None:
        raise CannotBe(f"there is no trial {request.trial}")
    written = any(d.kind == "noted" and d.data.get("request") == request.id for d in loop.study.decisions)
    if not written:  # by a process that was killed before it could say so
        loop.log.noted(text, trial=request.trial, by=request.by, request=request.id)
    return f"noted: {text}"


def _trials(numbers: list[int], does: str = "", do: str = "") -> str:
    """`trial 3 does`, `trials 3 and 4 do`."""
    if len(numbers) == 1:
        return f"trial {numbers[0]} {does}".rstrip()
    return f"trials {', '.join(map(str, numbers[:-1]))} and {numbers[-1]} {do}".rstrip()
