import type { IPlace } from '../../document/types';
import { Replies } from '../../suggest/replies';
import { Reply } from '../../suggest/reply';

const place = (prefix: string, editor = 'e'): IPlace => ({
  editor,
  prefix,
  suffix: ''
});
const reply = (prefix: string, text: string, around = '') =>
  Reply.of(text, place(prefix), around);

describe('Replies', () => {
  it('finds what leads through a place, the newest first', () => {
    const replies = new Replies();
    const [older, newer, other] = [
      reply('x', ' = 1'),
      reply('x =', ' 1'),
      reply('y', ' = 1')
    ];
    [older, newer, other].forEach(one => replies.add(one));
    expect(replies.at(place('x = '), '')).toEqual([newer, older]);
    expect(replies.at(place('x = ', 'f'), '')).toEqual([]);
  });

  it('finds nothing once something around the place changed, until it is as before', () => {
    const replies = new Replies();
    const known = reply('x', ' = 1', 'other cells');
    replies.add(known);
    expect(replies.at(place('x'), 'changed')).toEqual([]);
    expect(replies.at(place('x'), 'other cells')).toEqual([known]);
  });

  it('forgets what was not used for longest', () => {
    const replies = new Replies();
    const [used, unused] = [reply('used', '1'), reply('unused', '2')];
    replies.add(used, unused);
    for (let i = 0; i < 63; i++) {
      replies.at(used.place, '');
      replies.add(reply(`${i}`, 'text'));
    }
    expect(replies.at(used.place, '')).toEqual([used]);
    expect(replies.at(unused.place, '')).toEqual([]);
  });

  it('finds nothing that failed or was ended', async () => {
    const replies = new Replies();
    const failed = new Reply(place('x'), '', () => Promise.reject(new Error()));
    const ended = new Reply(place('x'), '', () => new Promise(() => undefined));
    replies.add(failed, ended);
    await failed.changed(0);
    ended.abort();
    expect(replies.at(place('x'), '')).toEqual([]);
  });
});
