import { Dialog, ReactWidget, showDialog } from '@jupyterlab/apputils';
import { TextItem } from '@jupyterlab/statusbar';
import type { TranslationBundle } from '@jupyterlab/translation';
import { VDomRenderer } from '@jupyterlab/ui-components';
import React from 'react';

import type { IStatus } from './api';
import { santaIcon } from './icon';
import type { Monitor } from './monitor';

/** The model's state in the status bar; a click tells more. */
export class StatusItem extends VDomRenderer<Monitor> {
  constructor(
    monitor: Monitor,
    private readonly _trans: TranslationBundle,
    private readonly _open: () => void
  ) {
    super(monitor);
    this.addClass('santa-StatusItem');
    this.addClass('jp-mod-highlighted');
  }

  protected override render(): JSX.Element | null {
    const status = this.model?.status;
    if (!status) {
      return null;
    }
    return (
      <span
        className={`santa-StatusItem-content santa-mod-${status.state}`}
        role="button"
        tabIndex={0}
        title={status.message}
        onClick={this._open}
        onKeyDown={event => {
          if (event.key === 'Enter' || event.key === ' ') {
            event.preventDefault();
            this._open();
          }
        }}
      >
        <santaIcon.react tag="span" stylesheet="statusBar" />
        <TextItem source={statusLabel(status, this._trans)} />
      </span>
    );
  }
}

/** `gpt_bigcode-santacoder: downloading 42 % (santa-mini answers)` */
export function statusLabel(status: IStatus, trans: TranslationBundle): string {
  const name = shortName(status.model);
  const state = stateLabel(status, trans);
  const label = state ? trans.__('%1: %2', name, state) : name;
  const serving = otherServing(status);
  return serving
    ? trans.__('%1 (%2 answers)', label, shortName(serving))
    : label;
}

/** Shows what is known of the model, and loads or unloads it if the user says so. */
export async function showStatus(
  monitor: Monitor,
  trans: TranslationBundle
): Promise<void> {
  const { status } = monitor;
  const isLoaded = status !== null && status.state !== 'unloaded';
  const change = Dialog.createButton({
    label: isLoaded ? trans.__('Unload') : trans.__('Load'),
    caption: isLoaded
      ? trans.__('Give the memory that the model holds back')
      : trans.__('Load the model now')
  });
  const result = await showDialog({
    title: trans.__('SantaCoder'),
    body: ReactWidget.create(<Details status={status} trans={trans} />),
    buttons: [
      ...(status ? [change] : []),
      Dialog.cancelButton({ label: trans.__('Close') })
    ],
    defaultButton: status ? 1 : 0
  });
  if (result.button === change) {
    await (isLoaded ? monitor.unload() : monitor.load());
  }
}

function Details({
  status,
  trans
}: {
  status: IStatus | null;
  trans: TranslationBundle;
}): JSX.Element {
  if (!status) {
    return <p>{trans.__('The server gives no code completion.')}</p>;
  }
  const rows: [string, string | number | null][] = [
    [trans.__('Model'), status.model],
    [trans.__('State'), stateLabel(status, trans) || trans.__('ready')],
    [trans.__('Answers now'), otherServing(status)],
    [trans.__('Device'), status.device],
    [trans.__('Precision'), status.dtype],
    [trans.__('Context window'), status.window],
    [trans.__('Version'), status.version]
  ];
  return (
    <div className="santa-Details">
      <p>{status.message}</p>
      <dl>
        {rows
          .filter(([, value]) => value)
          .map(([name, value]) => (
            <React.Fragment key={name}>
              <dt>{name}</dt>
              <dd>{value}</dd>
            </React.Fragment>
          ))}
      </dl>
    </div>
  );
}

/** The state in words, "" when the model is ready. */
function stateLabel(status: IStatus, trans: TranslationBundle): string {
  switch (status.state) {
    case 'unloaded':
      return trans.__('not loaded');
    case 'downloading':
      return downloadLabel(status, trans);
    case 'loading':
      return trans.__('loading');
    case 'error':
      return trans.__('error');
    default:
      return '';
  }
}

function downloadLabel(
  { progress }: IStatus,
  trans: TranslationBundle
): string {
  if (!progress?.total) {
    return trans.__('downloading');
  }
  const percent = Math.floor((100 * progress.done) / progress.total);
  return trans.__('downloading %1 %', percent);
}

/** The model that answers in place of the one chosen, "" if none does. */
function otherServing({ model, serving }: IStatus): string {
  return serving && serving !== model ? serving : '';
}

function shortName(model: string): string {
  return model.replace(/\/+$/, '').split('/').pop() || model;
}
