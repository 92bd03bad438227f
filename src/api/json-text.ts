// Answers whose text is made once: clients poll GetMicrovm, and a record is replaced, never changed.

/** An answer's body as it is sent. */
export class JsonText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** The text that `make` gives of a record, made when the record is first seen and kept as long as the record is. */
export type TextOf<R extends object> = (record: R, make: () => object) => JsonText;

/** Remembers nothing yet. */
export function createTexts<R extends object>(): TextOf<R> {
  const known = new WeakMap<R, JsonText>();
  return (record, make) => {
    const found = known.get(record);
    if (found !== undefined) return found;
    const text = new JsonText(JSON.stringify(make()));
    known.set(record, text);
    return text;
  };
}

/** The text of an answer. */
export function jsonOf(answer: object): string {
  return answer instanceof JsonText ? answer.text : JSON.stringify(answer);
}
