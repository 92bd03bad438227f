// Answers whose text is made once: clients poll GetMicrovm, and a record is replaced, never changed.

/** An answer's body as it is sent. */
export class JsonText {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** The text of what `wireOf` makes of a record: made when the record is first seen, and kept as long as the record is. */
export function rememberTexts<R extends object>(
  wireOf: (record: R) => object,
): (record: R) => JsonText {
  const known = new WeakMap<R, JsonText>();
  return (record) => {
    const found = known.get(record);
    if (found !== undefined) return found;
    const text = new JsonText(JSON.stringify(wireOf(record)));
    known.set(record, text);
    return text;
  };
}

/** The text of an answer. */
export function jsonOf(answer: object): string {
  return answer instanceof JsonText ? answer.text : JSON.stringify(answer);
}
