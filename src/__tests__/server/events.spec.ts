import fs from 'fs';

import { Signal } from '@lumino/signaling';

import { SuggestionEvents, type IOutcome } from '../../server/events';
import type { IStatus } from '../../server/protocol';

const SHOWN: IOutcome = {
  action: 'shown',
  trigger: 'automatic',
  mode: 'auto',
  language: 'python',
  characters: 12,
  lines: 1,
  milliseconds: 80
};

/** What stands in the schema that the server registers. */
function registered(line: string): string {
  const schema = fs.readFileSync(
    'santajupyter/server/suggestion-event.yaml',
    'utf-8'
  );
  return (
    new RegExp(`^${line.replace('$', '\\$')}$`, 'm').exec(schema)?.[1] ?? ''
  );
}

function setUp(status: Partial<IStatus> | null) {
  const monitor = {
    status: status as IStatus | null,
    stateChanged: new Signal<object, void>({})
  };
  const emit = jest.fn(() => Promise.resolve());
  const events = new SuggestionEvents({ emit }, monitor as never);
  const learn = (news: Partial<IStatus> | null) => {
    monitor.status = news as IStatus | null;
    monitor.stateChanged.emit();
  };
  return { emit, events, learn };
}

describe('SuggestionEvents', () => {
  it.each([null, {}, { emit_events: false }])(
    'sends nothing to a server that does not want it (%j)',
    async status => {
      const { emit, events } = setUp(status);
      await events.tell(SHOWN, 'santa-mini');
      expect(emit).not.toHaveBeenCalled();
    }
  );

  it('sends what the schema has, names as single words', async () => {
    const { emit, events } = setUp({ emit_events: true });
    await events.tell({ ...SHOWN, language: 'common lisp' }, 'my model (2)');
    expect(emit).toHaveBeenCalledWith({
      schema_id: registered('"$id": (.*)'),
      version: registered('version: "(.*)"'),
      data: { ...SHOWN, language: 'common-lisp', model: 'my-model-2-' }
    });
  });

  it('leaves a server alone that refused one, until it was away', async () => {
    const { emit, events, learn } = setUp({ emit_events: true });
    emit.mockRejectedValueOnce(new Error('403'));
    await Promise.all([
      events.tell(SHOWN, 'santa-mini'),
      events.tell(SHOWN, 'santa-mini')
    ]);
    learn({ emit_events: true });
    await events.tell(SHOWN, 'santa-mini');
    expect(emit).toHaveBeenCalledTimes(1);
    learn(null);
    learn({ emit_events: true });
    await events.tell(SHOWN, 'santa-mini');
    expect(emit).toHaveBeenCalledTimes(2);
  });
});
