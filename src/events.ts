/** One server-sent event. */
export interface IServerEvent {
  type: string;
  data: string;
}

/** Reads `text/event-stream` text that comes in pieces cut anywhere. */
export class EventParser {
  /** The events that this piece completes. */
  push(chunk: string): IServerEvent[] {
    this._rest = (this._rest + chunk).replace(/\r\n/g, '\n');
    const blocks = this._rest.split('\n\n');
    this._rest = blocks.pop() ?? '';
    return blocks.map(readBlock).filter(event => event.data !== '');
  }

  private _rest = '';
}

function readBlock(block: string): IServerEvent {
  let type = 'message';
  const data: string[] = [];
  for (const line of block.split('\n')) {
    const [field, value] = splitField(line);
    if (field === 'event') {
      type = value;
    } else if (field === 'data') {
      data.push(value);
    }
  }
  return { type, data: data.join('\n') };
}

function splitField(line: string): [string, string] {
  const colon = line.indexOf(':');
  if (colon < 0) {
    return [line, ''];
  }
  return [line.slice(0, colon), line.slice(colon + 1).replace(/^ /, '')];
}
