import { EventParser } from '../events';

const STREAM =
  ': a comment\n\n' +
  'data: {"index":0,"text":"🎅\\n"}\n\n' +
  'event: error\r\ndata: {"message":"no"}\r\n\r\n' +
  'data:one\ndata: two\n\n';

const EVENTS = [
  { type: 'message', data: '{"index":0,"text":"🎅\\n"}' },
  { type: 'error', data: '{"message":"no"}' },
  { type: 'message', data: 'one\ntwo' }
];

describe('EventParser', () => {
  it('reads the events of one piece', () => {
    expect(new EventParser().push(STREAM)).toEqual(EVENTS);
  });

  it('reads the same events wherever the stream is cut', () => {
    for (let cut = 0; cut <= STREAM.length; cut++) {
      const parser = new EventParser();
      const events = [
        ...parser.push(STREAM.slice(0, cut)),
        ...parser.push(STREAM.slice(cut))
      ];
      expect(events).toEqual(EVENTS);
    }
  });

  it('holds an unfinished event back', () => {
    expect(new EventParser().push('data: {"index"')).toEqual([]);
  });
});
