// The machine's clock, which a test can put forward.

import { systemClock, type Clock } from "../../../src/lib/clock.ts";

export interface PassingClock extends Clock {
  /** Puts it forward and fires the timers that come due. */
  pass(seconds: number): void;
  /** Epoch ms of a clock that moves by `pass` alone. */
  stillNow(): number;
}

interface Timer {
  readonly at: number;
  readonly callback: () => void;
  real: Disposable;
}

export function createPassingClock(): PassingClock {
  const machine = systemClock();
  const startedAt = machine.now();
  const timers = new Set<Timer>();
  let passed = 0;
  const now = () => machine.now() + passed;
  const fire = (timer: Timer) => {
    if (!timers.delete(timer)) return;
    timer.real[Symbol.dispose]();
    timer.callback();
  };
  const wait = (timer: Timer) => machine.setTimer(timer.at - now(), () => fire(timer));
  return {
    now,
    stillNow: () => startedAt + passed,
    setTimer(delayMs, callback) {
      const timer: Timer = { at: now() + delayMs, callback, real: { [Symbol.dispose]() {} } };
      timer.real = wait(timer);
      timers.add(timer);
      return {
        [Symbol.dispose]() {
          timers.delete(timer);
          timer.real[Symbol.dispose]();
        },
      };
    },
    pass(seconds) {
      passed += seconds * 1000;
      for (const timer of [...timers].sort((a, b) => a.at - b.at)) {
        timer.real[Symbol.dispose]();
        if (timer.at <= now()) fire(timer);
        else timer.real = wait(timer);
      }
    },
  };
}
