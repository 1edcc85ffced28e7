import { wasTold } from '../../ui/told';

it('tells once in a browser', () => {
  expect([wasTold('a'), wasTold('a'), wasTold('b')]).toEqual([
    false,
    true,
    false
  ]);
  expect(localStorage.getItem('a')).not.toBeNull();
});

it('tells once a page where nothing can be stored', () => {
  const blocked = jest
    .spyOn(Storage.prototype, 'getItem')
    .mockImplementation(() => {
      throw new Error('blocked');
    });
  try {
    expect([wasTold('c'), wasTold('c')]).toEqual([false, true]);
  } finally {
    blocked.mockRestore();
  }
});
